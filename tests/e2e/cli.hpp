// The built program, run with a home of its own.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/subprocess.hpp"
#include "support/temporary_folder.hpp"

namespace driftwood::testing {

/// Exit statuses by error code, as docs/cli.md says.
enum : int {
  kUsage = 2,
  kInvalidArgument = 10,
  kNotFound = 11,
  kUnsupported = 12,
  kCorrupt = 15,
  kIncompatible = 16,
  kGuestTrap = 17,
  kUnavailable = 18,
  kCancelled = 19,
};

/// The default model's file, or empty where this machine has none.
inline std::filesystem::path default_model_file() {
  if (const char* given = std::getenv("DRIFTWOOD_TEST_MODEL")) return given;
  const char* home = std::getenv("HOME");
  const auto path = std::filesystem::path(home == nullptr ? "" : home) /
                    ".local/share/driftwood/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

/// A test that runs the program. Its store is empty and its home is a folder that goes with the test.
class CliTest : public ::testing::Test {
 protected:
  Environment environment() const {
    return {{"HOME", folder_.path().string()},
            {"XDG_DATA_HOME", (folder_.path() / "data").string()},
            {"XDG_STATE_HOME", (folder_.path() / "state").string()},
            {"DRIFTWOOD_MODELS", store().string()},
            {"DRIFTWOOD_CACHE", DRIFTWOOD_TEST_CACHE},
            {"NO_COLOR", "1"},
            {"TERM", "xterm"}};
  }
  static std::vector<std::string> with_program(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), DRIFTWOOD_BINARY);
    return arguments;
  }
  Outcome cli(std::vector<std::string> arguments, std::string input = {}) const {
    return run(
        {.arguments = with_program(std::move(arguments)), .environment = environment(), .input = std::move(input)});
  }

  std::filesystem::path folder() const { return folder_.path(); }
  std::filesystem::path store() const { return folder_.path() / "models"; }
  std::string file(const std::string& name, const std::string& content) const {
    const auto path = folder_.path() / name;
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }
  static std::string content_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return (std::ostringstream() << file.rdbuf()).str();
  }

 private:
  TemporaryFolder folder_;
};

/// One that needs the default model's weights.
class CliModelTest : public CliTest {
 protected:
  void SetUp() override {
    model_ = default_model_file().string();
    if (model_.empty()) GTEST_SKIP() << "The default model is not here; scripts/fetch-model.sh gets it.";
  }
  std::string model_;
};

/// An error is one sentence on standard error, and nothing on standard output.
inline void expect_sentence(const Outcome& outcome, int status, const std::string& part) {
  EXPECT_EQ(outcome.status, status) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(outcome.err.starts_with("driftwood: ")) << outcome.err;
  EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
}

}  // namespace driftwood::testing
