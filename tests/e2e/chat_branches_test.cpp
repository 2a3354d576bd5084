// /save, /fork, /rewind and /branches in driftwood chat at a terminal.
#include "e2e/cli.hpp"

namespace driftwood::testing {
namespace {

class ChatBranches : public CliModelTest {
 protected:
  std::vector<std::string> chat(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"chat", "-m",    model_, "--threads",    "1", "--temperature",
                                          "0",    "--ctx", "256",  "--max-tokens", "4"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return with_program(std::move(arguments));
  }
  /// Says something and waits for the end of its answer.
  static void say(TerminalProgram& program, const std::string& text) {
    program.type(text + "\r");
    ASSERT_TRUE(program.shows("ended at --max-tokens")) << program.screen();
    ASSERT_TRUE(program.shows("> ")) << program.screen();
  }
  static void expect(TerminalProgram& program, const std::string& command, const std::string& shown) {
    program.type(command + "\r");
    ASSERT_TRUE(program.shows(shown)) << command << ": " << program.screen();
    ASSERT_TRUE(program.shows("> ")) << program.screen();
  }
};

TEST_F(ChatBranches, RewindTakesTurnsBack) {
  TerminalProgram program(chat(), environment());
  ASSERT_TRUE(program.shows("> ")) << program.screen();
  say(program, "My name is Ada.");
  say(program, "I like the sea.");
  expect(program, "/stats", "turns     2");
  expect(program, "/rewind 1", "Back by 1 turn.");
  expect(program, "/stats", "turns     1");
  say(program, "I like the hills.");
  expect(program, "/stats", "turns     2");
  expect(program, "/rewind 3", "has 2 since it began");
  expect(program, "/rewind 2", "Back by 2 turns.");
  expect(program, "/stats", "turns     0");
  expect(program, "/rewind soon", "not \"soon\"");
  program.type("/quit\r");
  EXPECT_EQ(program.ends(), 0) << program.screen();
}

TEST_F(ChatBranches, BranchesGoOnApart) {
  TerminalProgram program(chat(), environment());
  ASSERT_TRUE(program.shows("> ")) << program.screen();
  say(program, "My name is Ada.");
  expect(program, "/fork other", "the branch other now");
  say(program, "I like the sea.");
  expect(program, "/branches", "* other");
  expect(program, "/branch main", "the branch main now");
  expect(program, "/stats", "turns     1");
  expect(program, "/branch other", "the branch other now");
  expect(program, "/stats", "turns     2");
  expect(program, "/fork main", "\"main\" is taken");
  expect(program, "/branch gone", "no branch \"gone\"");
  program.type("/quit\r");
  EXPECT_EQ(program.ends(), 0) << program.screen();
}

TEST_F(ChatBranches, SavedChatIsResumedInAnotherProcess) {
  {
    TerminalProgram first(chat(), environment());
    ASSERT_TRUE(first.shows("> ")) << first.screen();
    say(first, "My name is Ada.");
    expect(first, "/save no label", "no label");
    expect(first, "/save talk", "labelled talk");
    first.type("/quit\r");
    ASSERT_EQ(first.ends(), 0) << first.screen();
  }
  TerminalProgram second(with_program({"chat", "--resume", "talk", "-m", model_, "--threads", "1"}), environment());
  ASSERT_TRUE(second.shows("> My name is Ada.")) << second.screen();
  ASSERT_TRUE(second.shows("goes on after 1 turn,")) << second.screen();
  ASSERT_TRUE(second.shows("> ")) << second.screen();
  say(second, "What is my name?");
  expect(second, "/stats", "turns     2");
  expect(second, "/rewind 1", "Back by 1 turn.");
  expect(second, "/rewind 1", "has 0 since it began");
  second.type("/quit\r");
  EXPECT_EQ(second.ends(), 0) << second.screen();
}

}  // namespace
}  // namespace driftwood::testing
