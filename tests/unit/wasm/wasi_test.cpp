#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/clock.hpp"
#include "wasm_fixture.hpp"

namespace driftwood {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::HasSubstr;

class Wasi : public WasmTest {
 protected:
  Wasi() {
    std::string pattern = (fs::temp_directory_path() / "driftwood-wasi-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    std::ofstream(folder_ / "note.txt") << "left on the shore";
    auto program = Program::load(*engine_, DW_TEST_WASI_PROBE);
    EXPECT_TRUE(program.has_value()) << program.error().to_string();
    program_ = *program;
  }
  ~Wasi() override { fs::remove_all(folder_); }

  struct Outcome {
    Result<int> status;
    std::string output;
  };

  Outcome run(WasiOptions wasi, InstanceLimits limits = {}) {
    auto instance = Instance::create(program_, {.wasi = std::move(wasi), .limits = limits});
    if (!instance) return {std::unexpected(instance.error()), ""};
    auto status = (*instance)->run_command();
    const auto address = (*instance)->call("output");
    EXPECT_TRUE(address.has_value());
    const auto text = (*instance)->memory().bytes().subspan(static_cast<std::size_t>(*address));
    return {std::move(status), reinterpret_cast<const char*>(text.data())};
  }

  std::string host_file(const std::string& name) const {
    std::stringstream content;
    content << std::ifstream(folder_ / name).rdbuf();
    return content.str();
  }

  fs::path folder_;
  std::shared_ptr<const Program> program_;
};

TEST_F(Wasi, PreopensNothingUnlessGranted) {
  const auto listed = run({.arguments = {"probe", "preopens"}});
  EXPECT_EQ(listed.status.value(), 0);
  EXPECT_EQ(listed.output, "");
  EXPECT_NE(run({.arguments = {"probe", "read", folder_ / "note.txt"}}).status.value(), 0);
  EXPECT_NE(run({.arguments = {"probe", "write", folder_ / "new.txt"}}).status.value(), 0);
  EXPECT_FALSE(fs::exists(folder_ / "new.txt"));
}

TEST_F(Wasi, AGrantedFolderIsReadAndWritten) {
  const std::vector<DirectoryGrant> grants = {{folder_, "/data", false}};
  EXPECT_EQ(run({.arguments = {"probe", "preopens"}, .directories = grants}).output, "/data|");
  const auto read = run({.arguments = {"probe", "read", "/data/note.txt"}, .directories = grants});
  EXPECT_EQ(read.status.value(), 0);
  EXPECT_EQ(read.output, "left on the shore");
  EXPECT_EQ(run({.arguments = {"probe", "write", "/data/new.txt"}, .directories = grants}).status.value(), 0);
  EXPECT_EQ(host_file("new.txt"), "written by the guest");
}

TEST_F(Wasi, AReadOnlyFolderStaysAsItIs) {
  const std::vector<DirectoryGrant> grants = {{folder_, "/data", true}};
  const auto read = run({.arguments = {"probe", "read", "/data/note.txt"}, .directories = grants});
  EXPECT_EQ(read.output, "left on the shore");
  for (const char* operation : {"write", "remove"}) {
    EXPECT_NE(run({.arguments = {"probe", operation, "/data/note.txt"}, .directories = grants}).status.value(), 0)
        << operation;
  }
  EXPECT_NE(run({.arguments = {"probe", "write", "/data/new.txt"}, .directories = grants}).status.value(), 0);
  EXPECT_EQ(host_file("note.txt"), "left on the shore");
  EXPECT_FALSE(fs::exists(folder_ / "new.txt"));
}

TEST_F(Wasi, AGrantIsNotLeftThroughItsParentOrALink) {
  fs::create_directory(folder_ / "inner");
  fs::create_symlink(folder_ / "note.txt", folder_ / "inner" / "link");
  const std::vector<DirectoryGrant> grants = {{folder_ / "inner", "/data", false}};
  for (const char* path : {"/data/../note.txt", "/data/link"}) {
    const auto read = run({.arguments = {"probe", "read", path}, .directories = grants});
    EXPECT_NE(read.status.value(), 0) << path;
    EXPECT_EQ(read.output, "") << path;
  }
}

TEST_F(Wasi, AFolderThatDoesNotExistIsNotFound) {
  const auto outcome = run({.arguments = {"probe"}, .directories = {{folder_ / "absent", "/data", true}}});
  ASSERT_FALSE(outcome.status.has_value());
  EXPECT_EQ(outcome.status.error().code, ErrorCode::not_found);
  EXPECT_THAT(outcome.status.error().message, HasSubstr((folder_ / "absent").string()));
}

TEST_F(Wasi, PassesArgumentsAndOnlyTheEnvironmentGiven) {
  EXPECT_EQ(run({.arguments = {"probe", "arguments", "", "two words", "ü"}}).output, "probe|arguments||two words|ü|");
  EXPECT_EQ(run({.arguments = {"probe", "environment"}}).output, "");
  EXPECT_EQ(run({.arguments = {"probe", "environment"}, .environment = {{"TIDE", "low"}, {"EMPTY", ""}}}).output,
            "TIDE=low|EMPTY=|");
}

TEST_F(Wasi, TextThatWasiCannotPassIsRefused) {
  for (const std::string& text : {std::string("a\0b", 3), std::string("\xff")}) {
    const auto outcome = run({.arguments = {"probe", text}});
    ASSERT_FALSE(outcome.status.has_value());
    EXPECT_EQ(outcome.status.error().code, ErrorCode::invalid_argument);
  }
}

TEST_F(Wasi, GivesTheExitStatusOfTheGuest) {
  for (int status : {0, 1, 42, 125}) {
    EXPECT_EQ(run({.arguments = {"probe", "exit", std::to_string(status)}}).status.value(), status);
  }
}

TEST_F(Wasi, AnExitStatusThatWasiDoesNotAllowIsAnError) {
  const auto outcome = run({.arguments = {"probe", "exit", "126"}});
  ASSERT_FALSE(outcome.status.has_value());
  EXPECT_EQ(outcome.status.error().code, ErrorCode::guest_trap);
  EXPECT_THAT(outcome.status.error().message, HasSubstr("exit"));
}

TEST_F(Wasi, OutputGoesNowhereUnlessInherited) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(run({.arguments = {"probe", "print", "unheard"}}).status.value(), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  testing::internal::CaptureStdout();
  EXPECT_EQ(run({.arguments = {"probe", "print", "heard"}, .inherit_stdout = true}).status.value(), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "heard\n");
}

TEST_F(Wasi, SleepsAsLongAsAsked) {
  const Stopwatch watch;
  EXPECT_EQ(run({.arguments = {"probe", "sleep", "60"}}).status.value(), 0);
  EXPECT_GE(watch.elapsed_s(), 0.06);
}

TEST_F(Wasi, ASleepEndsAtTheDeadline) {
  const Stopwatch watch;
  const auto outcome = run({.arguments = {"probe", "sleep", "60000"}}, {.run_time = milliseconds(100)});
  EXPECT_LT(watch.elapsed_s(), 30);
  ASSERT_FALSE(outcome.status.has_value());
  EXPECT_EQ(outcome.status.error().code, ErrorCode::guest_trap);
  EXPECT_THAT(outcome.status.error().message, HasSubstr("longer than its limit of 100 ms"));
}

TEST_F(Wasi, ASleepEndsWhenInterrupted) {
  auto instance = Instance::create(program_, {.wasi = {.arguments = {"probe", "sleep", "60000"}}}).value();
  const Stopwatch watch;
  std::atomic<bool> done = false;
  std::thread interrupting([&] {
    while (!done) {
      std::this_thread::sleep_for(milliseconds(20));
      instance->interrupt();
    }
  });
  const auto status = instance->run_command();
  done = true;
  interrupting.join();
  EXPECT_LT(watch.elapsed_s(), 30);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace driftwood
