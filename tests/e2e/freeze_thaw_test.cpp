// driftwood freeze, thaw and fork: an actor that goes on in another process, with the same words.
#include "e2e/cli.hpp"
#include "tools/random_model.hpp"

namespace driftwood::testing {
namespace {

using nlohmann::json;
const std::string kProbe = DRIFTWOOD_ACTOR_PROBE;

using Freeze = CliTest;

TEST_F(Freeze, ActorGoesOnInAnotherProcess) {
  ASSERT_EQ(cli({"freeze", kProbe, "--message", "count", "--message", "count", "--label", "two"}).out, "1\n2\n");
  EXPECT_EQ(cli({"thaw", "two", "--message", "count"}).out, "3\n");
  // The snapshot itself did not go on.
  EXPECT_EQ(cli({"thaw", "two", "--message", "count", "--save", "three"}).out, "3\n");
  EXPECT_EQ(cli({"thaw", "three", "--message", "count"}).out, "4\n");
}

TEST_F(Freeze, MessagesKeepTheOrderInWhichTheyWereGiven) {
  const std::string who = file("who.txt", "who");
  EXPECT_EQ(cli({"freeze", kProbe, "--message", "count", "--message-file", who, "--message", "count"}).out,
            "1\n0\n2\n");
}

TEST_F(Freeze, ChildrenOfAForkLearnTheirNumbersAndGoOnApart) {
  ASSERT_EQ(cli({"freeze", kProbe, "--message", "count", "--label", "one"}).status, 0);
  const Outcome outcome =
      cli({"fork", "one", "3", "--message", "who", "--message", "count", "--save", "child", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const json children = json::parse(outcome.out)["children"];
  ASSERT_EQ(children.size(), 3u);
  for (std::size_t i = 0; i < children.size(); ++i) {
    EXPECT_EQ(children[i]["index"], i + 1);
    EXPECT_EQ(children[i]["replies"][0]["reply"], std::to_string(i + 1));
    EXPECT_EQ(children[i]["replies"][1]["reply"], "2");
  }
  EXPECT_EQ(cli({"thaw", "child-2", "--message", "who", "--message", "count"}).out, "2\n3\n");
}

TEST_F(Freeze, ThawTellsItsOutcomeAsJson) {
  const json frozen = json::parse(cli({"freeze", kProbe, "--name", "probe", "--label", "one", "--json"}).out);
  EXPECT_EQ(frozen["snapshot"]["actor"], "probe");
  EXPECT_EQ(frozen["snapshot"]["labels"], json::array({"one"}));
  const json thawed = json::parse(cli({"thaw", "one", "--message", "count", "--save", "", "--json"}).out);
  EXPECT_EQ(thawed["snapshot"], frozen["snapshot"]["id"]);
  EXPECT_EQ(thawed["numerics_difference"], "");
  EXPECT_EQ(thawed["replies"][0]["reply"], "1");
  EXPECT_EQ(thawed["saved"].get<std::string>().size(), 64u);
}

TEST_F(Freeze, AnotherDeviceIsToldInWords) {
  ASSERT_EQ(cli({"freeze", kProbe, "--label", "one", "--device", "cpu"}).status, 0);
  const Outcome outcome = cli({"thaw", "one", "--message", "count", "--device", "null", "--json"});
  const auto words = json::parse(outcome.out)["numerics_difference"].get<std::string>();
  EXPECT_NE(words.find("null"), std::string::npos);
  EXPECT_NE(outcome.err.find("driftwood: " + words), std::string::npos) << outcome.err;
}

TEST_F(Freeze, ProgramIsFoundAfterItsFileIsGone) {
  const auto copy = folder() / "probe.wasm";
  std::filesystem::copy_file(kProbe, copy);
  ASSERT_EQ(cli({"freeze", copy.string(), "--message", "count", "--label", "one"}).status, 0);
  std::filesystem::remove(copy);
  EXPECT_EQ(cli({"thaw", "one", "--message", "count"}).out, "2\n");
}

TEST_F(Freeze, AnotherProgramIsRefused) {
  ASSERT_EQ(cli({"freeze", kProbe, "--label", "one"}).status, 0);
  expect_sentence(cli({"thaw", "one", "--program", DRIFTWOOD_CHAT_GUEST, "--message", "count"}), kIncompatible,
                  "chat.wasm");
}

TEST_F(Freeze, MissingProgramIsNamed) {
  ASSERT_EQ(cli({"freeze", kProbe, "--label", "one"}).status, 0);
  std::filesystem::remove_all(folder() / "data/driftwood/programs");
  expect_sentence(cli({"thaw", "one", "--message", "count"}), kNotFound, "actor_probe.wasm");
  EXPECT_EQ(cli({"thaw", "one", "--program", kProbe, "--message", "count"}).out, "1\n");
}

/// As after the machine stopped before all of it was on the disk.
class KeptProgram : public Freeze {
 protected:
  std::filesystem::path programs() const { return folder() / "data/driftwood/programs"; }
  /// The only kept one, cut short.
  std::filesystem::path cut_short(std::size_t size) const {
    const auto kept = std::filesystem::directory_iterator(programs())->path();
    std::filesystem::resize_file(kept, size);
    return kept;
  }
};

TEST_F(KeptProgram, DamagedOneIsNamed) {
  ASSERT_EQ(cli({"freeze", kProbe, "--label", "one"}).status, 0);
  for (const std::size_t size : {100u, 0u}) {
    const std::string kept = cut_short(size).string();
    const Outcome outcome = cli({"thaw", "one", "--message", "count"});
    expect_sentence(outcome, kCorrupt, kept + "\" is damaged");
    EXPECT_NE(outcome.err.find("actor_probe.wasm"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("--program"), std::string::npos) << outcome.err;
  }
}

TEST_F(KeptProgram, DamagedOneIsReplacedByTheNextSave) {
  ASSERT_EQ(cli({"freeze", kProbe, "--message", "count", "--label", "one"}).status, 0);
  const auto kept = cut_short(100);
  ASSERT_EQ(cli({"freeze", kProbe, "--label", "two"}).status, 0);
  EXPECT_EQ(content_of(kept), content_of(kProbe));
  EXPECT_EQ(cli({"thaw", "one", "--message", "count"}).out, "2\n");
}

TEST_F(KeptProgram, DamagedOneDoesNotHideTheBuiltInActor) {
  ASSERT_EQ(cli({"freeze", DRIFTWOOD_CHAT_GUEST, "--label", "one"}).status, 0);
  cut_short(100);
  const Outcome outcome = cli({"thaw", "one", "--save", "two"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(content_of(std::filesystem::directory_iterator(programs())->path()), content_of(DRIFTWOOD_CHAT_GUEST));
}

/// A limit on the size of files refuses as a full disk does. The module has a section more, so that it is larger than
/// the actor's memory, which is a file too.
TEST_F(KeptProgram, FullDiskIsASentenceAndLeavesNothing) {
  const std::string section = std::string("\0\xE0\xA7\x12\x03pad", 8) + std::string(300'000 - 4, '\0');
  const std::string large = file("large.wasm", content_of(kProbe) + section);
  const Outcome outcome = run({.arguments = with_program({"freeze", large, "--label", "one"}),
                               .environment = environment(),
                               .file_size_limit = 200'000});
  expect_sentence(outcome, kUnavailable, "while keeping the program large.wasm");
  EXPECT_NE(outcome.err.find("File too large"), std::string::npos) << outcome.err;
  EXPECT_TRUE(std::filesystem::is_empty(programs()));
  EXPECT_EQ(json::parse(cli({"snapshots", "--json"}).out)["snapshots"].size(), 0u);
  EXPECT_EQ(cli({"freeze", large, "--label", "one"}).status, 0);
}

TEST_F(Freeze, WhatCannotBeIsRefusedBeforeAnythingRuns) {
  expect_sentence(cli({"freeze", kProbe, "--message", "count", "--label", "no label"}), kInvalidArgument, "no label");
  expect_sentence(cli({"freeze", DRIFTWOOD_CLI_PROBE}), kInvalidArgument, "driftwood_receive");
  expect_sentence(cli({"freeze", kProbe, "--message-file", "gone.txt"}), kNotFound, "gone.txt");
  expect_sentence(cli({"freeze", "gone.wasm"}), kNotFound, "gone.wasm");
  expect_sentence(cli({"thaw", "nobody", "--message", "count"}), kNotFound, "nobody");
  expect_sentence(cli({"thaw", "12345678", "--message", "count"}), kNotFound, "12345678");
  expect_sentence(cli({"fork", "nobody", "0"}), kUsage, "N");
  EXPECT_EQ(json::parse(cli({"snapshots", "--json"}).out)["snapshots"].size(), 0u);
}

TEST_F(Freeze, TrapIsToldAndSavesNothing) {
  const Outcome outcome = cli({"freeze", kProbe, "--message", "count", "--message", "trap", "--label", "one"});
  EXPECT_EQ(outcome.status, kGuestTrap);
  expect_sentence(cli({"thaw", "one", "--message", "count"}), kNotFound, "one");
}

class FreezeChat : public CliModelTest {
 protected:
  std::vector<std::string> with_model(std::vector<std::string> arguments) const {
    for (const char* more : {"-m", model_.c_str(), "--threads", "1"}) arguments.emplace_back(more);
    return arguments;
  }
  /// What a chat says to both requests, and what it says to the second one in another process.
  void expect_same_words(const std::vector<std::string>& settings) const {
    std::vector<std::string> unbroken = with_model({"freeze", "--say", kFirst, "--say", kSecond});
    std::vector<std::string> before = with_model({"freeze", "--say", kFirst, "--label", "before"});
    unbroken.insert(unbroken.end(), settings.begin(), settings.end());
    before.insert(before.end(), settings.begin(), settings.end());
    const Outcome whole = cli(unbroken);
    ASSERT_EQ(whole.status, 0) << whole.err;
    const Outcome first = cli(before);
    ASSERT_EQ(first.status, 0) << first.err;
    const Outcome second = cli(with_model({"thaw", "before", "--say", kSecond}));
    ASSERT_EQ(second.status, 0) << second.err;
    EXPECT_GT(second.out.size(), 5u);
    EXPECT_EQ(first.out + second.out, whole.out);
  }
  static constexpr const char* kFirst = "My name is Ada.";
  static constexpr const char* kSecond = "What is my name?";
};

TEST_F(FreezeChat, GreedyChatGoesOnWithTheSameWords) {
  expect_same_words({"--temperature", "0", "--max-tokens", "10", "--ctx", "256"});
}

TEST_F(FreezeChat, SeededChatGoesOnWithTheSameWords) {
  expect_same_words({"--temperature", "1.2", "--seed", "7", "--max-tokens", "10", "--ctx", "256"});
}

TEST_F(FreezeChat, ResumeGoesOnInTheChat) {
  ASSERT_EQ(cli(with_model({"freeze", "--say", kFirst, "--label", "before", "--temperature", "0", "--max-tokens", "8",
                            "--ctx", "256"}))
                .status,
            0);
  const Outcome outcome = cli(with_model({"chat", "--resume", "before", "--prompt", kSecond, "--json"}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  std::string resumed;
  std::string answer;
  std::getline(lines, resumed);
  std::getline(lines, answer);
  EXPECT_EQ(json::parse(resumed)["resumed"]["turns"], 1);
  EXPECT_GT(json::parse(answer)["reused_tokens"], 0);
  EXPECT_EQ(json::parse(answer)["text"].get<std::string>() + "\n",
            cli(with_model({"thaw", "before", "--say", kSecond})).out);
}

TEST_F(FreezeChat, ResumeTakesNewSampling) {
  ASSERT_EQ(
      cli(with_model({"freeze", "--say", kFirst, "--label", "before", "--max-tokens", "8", "--ctx", "256"})).status, 0);
  const Outcome outcome =
      cli(with_model({"chat", "--resume", "before", "--prompt", kSecond, "--max-tokens", "3", "--json"}));
  EXPECT_NE(outcome.out.find("\"generated_tokens\":3"), std::string::npos) << outcome.out << outcome.err;
}

TEST_F(FreezeChat, MissingAndWrongModelsAreNamed) {
  ASSERT_EQ(cli(with_model({"freeze", "--label", "rest", "--ctx", "64"})).status, 0);
  const json named = json::parse(cli({"inspect", "rest", "--json"}).out)["models"][0];
  expect_sentence(cli({"thaw", "rest", "--offline", "--say", kSecond}), kNotFound,
                  "needs the model " + named["name"].get<std::string>() + " (SHA-256 " +
                      named["sha256"].get<std::string>() + "), which is not here; name its file with --model");
  expect_sentence(cli({"chat", "--resume", "rest", "--offline", "--prompt", kSecond}), kNotFound, "--model");
  expect_sentence(cli({"thaw", "rest", "-m", file("no.gguf", "This is no model."), "--say", kSecond}), kCorrupt,
                  "no.gguf");
  const auto other = folder() / "other.gguf";
  ASSERT_TRUE(write_random_model(representative_options("llama"), other));
  for (const char* command : {"thaw", "verify"}) {
    expect_sentence(cli({command, "rest", "-m", other.string(), "--say", kSecond}), kIncompatible, "is another file");
  }
  ASSERT_EQ(cli({"models", "add", model_, "--name", "other"}).status, 0);
  EXPECT_EQ(cli({"thaw", "rest"}).status, 0);  // found by its hash, under another name
}

}  // namespace
}  // namespace driftwood::testing
