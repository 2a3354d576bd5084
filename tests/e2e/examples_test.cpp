// Each example as its README runs it.
#include <gmock/gmock.h>

#include <regex>

#include "e2e/cli.hpp"

namespace driftwood::testing {
namespace {

using ::testing::HasSubstr;
using Examples = CliTest;
using ModelExamples = CliModelTest;

std::string guest(const std::string& name) {
  return std::string(DRIFTWOOD_EXAMPLES) + "/" + name + "/" + name + ".wasm";
}

TEST_F(Examples, HelloNamesTheDevice) {
  const Outcome outcome = cli({"run", guest("hello")});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(std::regex_match(outcome.out, std::regex("Hello from a sandboxed guest. Device: \\w+, \\d+ threads.\n")))
      << outcome.out;
}

TEST_F(Examples, GemmIsRightInEveryElementAndCopiesNothing) {
  const Outcome outcome = cli({"run", guest("gemm")});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("n 128, elements 16384, errors 0\n"));
  EXPECT_THAT(outcome.out, HasSubstr("sharing same_memory"));
  EXPECT_THAT(outcome.out, HasSubstr("bytes copied: 0\n"));
}

TEST_F(Examples, TinyTransformerAgreesWithPlainLoops) {
  const Outcome outcome = cli({"run", "--threads", "1", guest("tiny-transformer")});
  EXPECT_EQ(outcome.status, 0) << outcome.err << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr("agrees with plain loops: yes"));
  EXPECT_EQ(cli({"run", "--threads", "1", guest("tiny-transformer")}).out, outcome.out);
}

TEST_F(Examples, SamplerDrawsTheSameTokensInWebAssembly) {
  const Outcome outcome = cli({"run", DRIFTWOOD_GOLDEN_SAMPLING});
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
}

TEST_F(Examples, CompleteSaysWhichOptionItDoesNotKnow) {
  const Outcome outcome = cli({"run", guest("complete"), "--colour", "blue", "text"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("There is no option --colour"));
}

TEST_F(Examples, CompleteSaysThatTheModelWasNotGranted) {
  const Outcome outcome = cli({"run", guest("complete"), "--model", "secret", "text"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("secret"));
}

// On one thread: a pool's threads wait for each other, which takes long on a machine that is busy with other tests.
TEST_F(ModelExamples, CompleteIsTheSameForTheSameSeed) {
  const auto complete = [&](const std::string& temperature, const std::string& seed) {
    const Outcome outcome = cli({"run", "--threads", "1", "--model", "smollm2=" + model_, guest("complete"), "--tokens",
                                 "16", "--temperature", temperature, "--seed", seed, "The capital of France is"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(outcome.out, ::testing::StartsWith("The capital of France is"));
    return outcome.out;
  };
  const std::string greedy = complete("0", "1");
  EXPECT_THAT(greedy, HasSubstr("Paris"));
  EXPECT_EQ(complete("0", "2"), greedy);
  const std::string drawn = complete("1", "1");
  EXPECT_EQ(complete("1", "1"), drawn);
  EXPECT_NE(complete("1", "2"), drawn);
}

TEST_F(ModelExamples, BranchesGoOnAsIfEachWereAlone) {
  const auto branches = [&](const std::vector<std::string>& ways) {
    std::vector<std::string> arguments = {
        "run", "--threads", "1", "--model", "smollm2=" + model_, guest("branches"), "smollm2", "The weather today is"};
    arguments.insert(arguments.end(), ways.begin(), ways.end());
    const Outcome outcome = cli(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.out.substr(0, outcome.out.rfind("\n["));
  };
  EXPECT_EQ(branches({" sunny", " terrible"}), branches({" sunny"}) + "\n" + branches({" terrible"}));
}

}  // namespace
}  // namespace driftwood::testing
