// driftwood verify: it passes what keeps the guarantee, and finds what does not.
#include "e2e/cli.hpp"

namespace driftwood::testing {
namespace {

using nlohmann::json;

class Verify : public CliTest {
 protected:
  void freeze(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"freeze", DRIFTWOOD_ACTOR_PROBE, "--message", "count", "--label", "rest"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ASSERT_EQ(cli(arguments).status, 0);
  }
};

TEST_F(Verify, CountingActorIsEqualAfterEachMessage) {
  freeze();
  const Outcome outcome = cli({"verify", "rest", "--message", "count", "--repeat", "3", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const json told = json::parse(outcome.out);
  EXPECT_TRUE(told["equal"].get<bool>());
  EXPECT_EQ(told["first_difference"], nullptr);
  EXPECT_EQ(told["compared"].size(), 3u * 4);  // memory, globals, clock, reply
  EXPECT_EQ(told["compared"].back()["message"], 3);
  // Nothing is left in the store.
  EXPECT_EQ(json::parse(cli({"snapshots", "--json"}).out)["snapshots"].size(), 1u);
}

TEST_F(Verify, ReaderOfTheWallClockIsFound) {
  freeze();
  const Outcome outcome = cli({"verify", "rest", "--message", "count", "--message", "clock", "--json"});
  EXPECT_EQ(outcome.status, 1) << outcome.out << outcome.err;
  const json told = json::parse(outcome.out);
  EXPECT_FALSE(told["equal"].get<bool>());
  EXPECT_EQ(told["first_difference"]["message"], 2);
  EXPECT_NE(told["first_difference"]["belongs_to"].get<std::string>().find("own data"), std::string::npos);
  for (const json& row : told["compared"]) {
    EXPECT_EQ(row["equal"].get<bool>(), row["message"] == 1 || row["what"] != "memory") << row;
  }
}

TEST_F(Verify, FreshEntropyIsFound) {
  freeze();
  const Outcome outcome = cli({"verify", "rest", "--message", "random"});
  EXPECT_EQ(outcome.status, 1) << outcome.out;
  EXPECT_NE(outcome.out.find("DIFFERENT"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.err.find("differ first in the page"), std::string::npos) << outcome.err;
}

TEST_F(Verify, DeterministicActorMayLookAtItsClockAndDraw) {
  freeze({"--deterministic=7"});
  const Outcome outcome = cli({"verify", "rest", "--message", "clock", "--message", "random"});
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  EXPECT_NE(outcome.out.find("of the seed 7"), std::string::npos) << outcome.out;
}

TEST_F(Verify, ItsProcessesTakeTheOptionsThatItWasGiven) {
  freeze();
  Environment no_worker = environment();
  no_worker.emplace_back("DRIFTWOOD_DEVICE_WORKER", (folder() / "no-worker").string());
  const auto verify = [&](const char* worker) {
    return run({.arguments = with_program(
                    {"verify", "rest", "--device", "cpu", "--device-worker", worker, "--message", "count"}),
                .environment = no_worker,
                .input = {}});
  };
  EXPECT_EQ(verify("off").status, 0);
  expect_sentence(verify("on"), kNotFound, "no-worker");
}

TEST_F(Verify, WhatCannotBeVerifiedIsSaid) {
  freeze();
  expect_sentence(cli({"verify", "rest"}), kInvalidArgument, "--message");
  expect_sentence(cli({"verify", "nobody", "--message", "count"}), kNotFound, "nobody");
  expect_sentence(cli({"verify", "rest", "--message", "trap"}), kGuestTrap, "unreachable");
}

using VerifyChat = CliModelTest;

TEST_F(VerifyChat, ChatIsEqualWithItsContext) {
  ASSERT_EQ(cli({"freeze", "-m", model_, "--threads", "1", "--ctx", "256", "--temperature", "1", "--seed", "3",
                 "--max-tokens", "6", "--say", "My name is Ada.", "--label", "talk"})
                .status,
            0);
  const Outcome outcome = cli({"verify", "talk", "-m", model_, "--threads", "1", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  EXPECT_NE(outcome.out.find("context 1 ("), std::string::npos) << outcome.out;
}

}  // namespace
}  // namespace driftwood::testing
