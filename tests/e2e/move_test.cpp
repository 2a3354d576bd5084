// An actor in two processes that have nothing in common but its file: other addresses, and no byte of it in memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "e2e/cli.hpp"

namespace driftwood::testing {
namespace {

using nlohmann::json;

/// Bytes of a file that the system holds in memory.
std::size_t cached_bytes(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY);
  const std::size_t size = std::filesystem::file_size(path), page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* at = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  std::vector<unsigned char> pages((size + page - 1) / page);
  EXPECT_EQ(mincore(at, size, pages.data()), 0);
  munmap(at, size);
  close(fd);
  std::size_t cached = 0;
  for (const unsigned char state : pages) cached += (state & 1) != 0 ? page : 0;
  return cached;
}

void drop_from_cache(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY);
  fdatasync(fd);
  EXPECT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  close(fd);
}

/// Whether a folder's files have no other place than memory.
bool lies_in_memory(const std::filesystem::path& folder) {
  constexpr long kTmpfs = 0x01021994, kRamfs = static_cast<long>(0x858458f6);  // statfs(2)
  struct statfs found{};
  EXPECT_EQ(statfs(folder.c_str(), &found), 0);
  return static_cast<long>(found.f_type) == kTmpfs || static_cast<long>(found.f_type) == kRamfs;
}

class Move : public CliModelTest {
 protected:
  static constexpr const char* kQuestion = "What is my name?";

  void SetUp() override {
    CliModelTest::SetUp();
    if (IsSkipped()) return;
    if (lies_in_memory(folder())) {
      GTEST_SKIP() << "The folder of the tests lies in memory, which drops nothing; set TMPDIR to one on a disk.";
    }
    const Outcome outcome = cli({"freeze", "-m", model_, "--threads", "1", "--say", "My name is Ada.", "--temperature",
                                 "0", "--max-tokens", "16", "--ctx", "256", "--label", "talk"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  /// Runs the program by way of another one ("setarch -R": at the same addresses each time).
  json json_of(std::vector<std::string> by_way_of, const std::vector<std::string>& arguments) const {
    for (const std::string& argument : with_program(arguments)) by_way_of.push_back(argument);
    const Outcome outcome = run({.arguments = std::move(by_way_of), .environment = environment(), .input = {}});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return json::parse(outcome.out.substr(outcome.out.rfind("\n{") + 1), nullptr, false);
  }
  /// Where the actor's memory is mapped.
  std::string address(const std::vector<std::string>& by_way_of) const {
    return json_of(by_way_of, {"chat", "--resume", "talk", "-m", model_, "--threads", "1", "--prompt", kQuestion,
                               "--max-tokens", "2", "--proof", "--json"})["proof"]["host"];
  }
  json go_on(const std::vector<std::string>& by_way_of, const std::string& save) const {
    return json_of(by_way_of, {"thaw", "talk", "-m", model_, "--threads", "1", "--say", kQuestion, "--save", save,
                               "--json"})["replies"][0];
  }
  /// What a saved actor is, by hashes.
  std::pair<std::string, std::string> hashes(const std::string& name) const {
    const json told = json_of({}, {"inspect", name, "-m", model_, "--json"});
    return {told["memory_sha256"], told["globals_sha256"]};
  }
};

TEST_F(Move, AddressesAndThePageCacheChangeNoByte) {
  const std::vector<std::string> same_addresses = {"/usr/bin/env", "setarch", "-R"};
  EXPECT_NE(address({}), address(same_addresses));
  const json here = go_on({}, "here");

  const auto snapshots = folder() / "data/driftwood/snapshots";
  std::size_t cached = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(snapshots)) {
    if (!entry.is_regular_file() || entry.file_size() == 0) continue;
    drop_from_cache(entry.path());
    if (entry.path().filename().string().size() >= 64) cached += cached_bytes(entry.path());
  }
  EXPECT_EQ(cached, 0u);
  const json there = go_on(same_addresses, "there");
  EXPECT_EQ(there["text"], here["text"]);
  EXPECT_EQ(there["reused_tokens"], here["reused_tokens"]);
  EXPECT_EQ(hashes("there"), hashes("here"));
  EXPECT_NE(hashes("there").first, hashes("talk").first);
}

}  // namespace
}  // namespace driftwood::testing
