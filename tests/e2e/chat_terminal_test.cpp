// driftwood chat at a terminal: commands, history, and what Ctrl-C stops.
#include <signal.h>

#include "e2e/cli.hpp"

namespace driftwood::testing {
namespace {

constexpr const char* kLongRequest = "Tell me a very long story about the sea.\r";
constexpr const char* kCtrlC = "\x03";
constexpr const char* kCtrlD = "\x04";

class ChatTerminal : public CliModelTest {
 protected:
  std::vector<std::string> chat(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"chat", "-m", model_, "--threads", "1", "--temperature", "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return with_program(std::move(arguments));
  }
};

TEST_F(ChatTerminal, CtrlCStopsTheAnswerAndNotTheChat) {
  TerminalProgram program(chat(), environment());
  ASSERT_TRUE(program.shows("> ")) << program.screen();
  program.type(kLongRequest);
  // Neither the terminal's echo of the request nor the editor's has a comma: the answer has begun.
  ASSERT_TRUE(program.shows(", ")) << program.screen();
  program.type(kCtrlC);
  ASSERT_TRUE(program.shows("The answer was stopped.")) << program.screen();
  ASSERT_TRUE(program.shows("> ")) << program.screen();
  program.type("/stats\r");
  ASSERT_TRUE(program.shows("turns     1")) << program.screen();
  program.type("What is the capital of France? Answer in one word.\r");
  ASSERT_TRUE(program.shows("Paris")) << program.screen();
  ASSERT_TRUE(program.shows("> ")) << program.screen();
  program.type(kCtrlD);
  EXPECT_EQ(program.ends(), 0) << program.screen();
}

TEST_F(ChatTerminal, CtrlCAtAnEmptyPromptEndsTheChat) {
  TerminalProgram program(chat(), environment());
  ASSERT_TRUE(program.shows("> ")) << program.screen();
  program.type(kCtrlC);
  EXPECT_EQ(program.ends(), 0) << program.screen();
}

TEST_F(ChatTerminal, CtrlCInALineGivesUpTheLine) {
  TerminalProgram program(chat(), environment());
  ASSERT_TRUE(program.shows("> ")) << program.screen();
  program.type("half a thou");
  program.type(kCtrlC);
  ASSERT_TRUE(program.shows("> ")) << program.screen();
  program.type("/quit\r");
  EXPECT_EQ(program.ends(), 0) << program.screen();
}

TEST_F(ChatTerminal, CommandsAnswer) {
  TerminalProgram program(chat({"--max-tokens", "4"}), environment());
  ASSERT_TRUE(program.shows("> ")) << program.screen();
  program.type("/help\r");
  EXPECT_TRUE(program.shows("/reset")) << program.screen();
  ASSERT_TRUE(program.shows("> ")) << program.screen();
  program.type("/nonsense\r");
  EXPECT_TRUE(program.shows("There is no command /nonsense")) << program.screen();
  program.type("What is the capital of France?\r");
  ASSERT_TRUE(program.shows("--max-tokens")) << program.screen();
  program.type("/stats\r");
  EXPECT_TRUE(program.shows("turns     1")) << program.screen();
  program.type("/reset\r");
  EXPECT_TRUE(program.shows("A new conversation.")) << program.screen();
  program.type("/stats\r");
  EXPECT_TRUE(program.shows("turns     0")) << program.screen();
  program.type("/system Answer as a pirate.\r");
  EXPECT_TRUE(program.shows("with this system prompt")) << program.screen();
  program.type("/quit\r");
  EXPECT_EQ(program.ends(), 0) << program.screen();
}

TEST_F(ChatTerminal, HistoryOutlivesTheChat) {
  {
    TerminalProgram first(chat(), environment());
    ASSERT_TRUE(first.shows("> ")) << first.screen();
    first.type("/nonsense-of-yesterday\r");
    ASSERT_TRUE(first.shows("There is no command")) << first.screen();
    first.type("/quit\r");
    ASSERT_EQ(first.ends(), 0) << first.screen();
  }
  TerminalProgram second(chat(), environment());
  ASSERT_TRUE(second.shows("> ")) << second.screen();
  second.type("\x10\x10\r");  // Ctrl-P twice: the line before /quit
  EXPECT_TRUE(second.shows("There is no command /nonsense-of-yesterday")) << second.screen();
  ASSERT_TRUE(second.shows("> ")) << second.screen();  // a Ctrl-D between two prompts would be the terminal's
  second.type(kCtrlD);
  EXPECT_EQ(second.ends(), 0) << second.screen();
}

}  // namespace
}  // namespace driftwood::testing
