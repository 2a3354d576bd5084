// A private folder among processes: files come whole, once, and nobody's leftovers stay.
#include "core/private_folder.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/pipe.hpp"
#include "support/temporary_folder.hpp"

namespace driftwood {
namespace {

namespace fs = std::filesystem;
using testing::Pipe;

std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

int wait_for(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

class PrivateFolderFiles : public ::testing::Test {
 protected:
  PrivateFolder open() const { return PrivateFolder::open(path_, "The folder").value(); }
  static Result<void> store(const PrivateFolder& folder, std::string_view name, std::string_view text,
                            const std::function<bool()>& keeps = nullptr) {
    return folder.store(folder.path_of(name), {as_bytes(text)}, "The file", keeps);
  }
  std::string text_of(std::string_view name) const {
    std::ifstream in(path_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path_)) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  std::size_t unfinished() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(names(), [](const std::string& name) { return name.starts_with("new-"); }));
  }

  TemporaryFolder temporary_;
  fs::path path_ = temporary_.path() / "folder";
};

TEST_F(PrivateFolderFiles, AreReplacedUnlessWhatIsThereIsKept) {
  const PrivateFolder folder = open();
  int asked = 0;
  const auto keeps = [&](bool answer) {
    return [&asked, answer] {
      ++asked;
      return answer;
    };
  };
  ASSERT_TRUE(store(folder, "file", "first", keeps(false)));
  EXPECT_EQ(asked, 0) << "there was nothing to keep";
  ASSERT_TRUE(store(folder, "file", "second", keeps(true)));
  EXPECT_EQ(text_of("file"), "first");
  ASSERT_TRUE(store(folder, "file", "third", keeps(false)));
  EXPECT_EQ(text_of("file"), "third");
  ASSERT_TRUE(store(folder, "file", "fourth"));
  EXPECT_EQ(text_of("file"), "fourth");
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(names(), std::vector<std::string>{"file"});
}

TEST_F(PrivateFolderFiles, WhatAKilledProcessHasBegunGoesWithTheNextFile) {
  const PrivateFolder folder = open();
  const pid_t child = ::fork();
  if (child == 0) {
    // The system kills a process that writes more than it may.
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::signal(SIGXFSZ, SIG_DFL);
    const std::string text(1'000'000, 'x');
    static_cast<void>(store(folder, "large", text));
    ::_exit(1);
  }
  ASSERT_EQ(wait_for(child), -SIGXFSZ);
  ASSERT_EQ(unfinished(), 1U);
  ASSERT_TRUE(store(folder, "file", "text"));
  EXPECT_EQ(names(), std::vector<std::string>{"file"});
}

TEST_F(PrivateFolderFiles, WhatALivingProcessWritesIsLeftAlone) {
  const PrivateFolder folder = open();
  ASSERT_TRUE(store(folder, "file", "old"));
  Pipe written, go_on;
  const pid_t child = ::fork();
  if (child == 0) {
    written.only_tell();
    go_on.only_wait();
    const auto keeps = [&] {
      if (!written.tell() || !go_on.wait()) ::_exit(2);
      return false;
    };
    ::_exit(store(folder, "file", "the child's", keeps) ? 0 : 1);
  }
  written.only_wait();
  go_on.only_tell();
  ASSERT_TRUE(written.wait());
  EXPECT_EQ(unfinished(), 1U);
  EXPECT_TRUE(store(folder, "other", "text"));
  EXPECT_EQ(unfinished(), 1U);
  EXPECT_TRUE(go_on.tell());
  EXPECT_EQ(wait_for(child), 0);
  EXPECT_EQ(text_of("file"), "the child's");
  EXPECT_EQ(names(), (std::vector<std::string>{"file", "other"}));
}

TEST_F(PrivateFolderFiles, AreRemovedByName) {
  const PrivateFolder folder = open();
  for (const char* name : {"a.1", "b.1", "c.2"}) ASSERT_TRUE(store(folder, name, "text"));
  folder.remove_files([](std::string_view name) { return name.ends_with(".1"); });
  EXPECT_EQ(names(), std::vector<std::string>{"c.2"});
}

TEST_F(PrivateFolderFiles, ARefusedFileLeavesNothingBehind) {
  const PrivateFolder folder = open();
  fs::create_directory(path_ / "taken");
  const auto stored = store(folder, "taken", "text");
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().code, ErrorCode::unavailable);
  EXPECT_EQ(names(), std::vector<std::string>{"taken"});
}

}  // namespace
}  // namespace driftwood
