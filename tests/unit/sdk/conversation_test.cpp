#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "driftwood/chat.hpp"
#include "fake_host.hpp"

namespace driftwood::guest {
namespace {

using test::fake_host;
using test::kAssistant;
using test::kEnd;
using test::kSystem;
using test::kUser;

std::string control(std::int32_t token) { return std::string(1, static_cast<char>(token)); }
std::string user(const std::string& text) { return control(kUser) + text + control(kEnd); }
std::string assistant(const std::string& text) { return control(kAssistant) + text; }

class GuestConversation : public ::testing::Test {
 protected:
  void SetUp() override {
    test::reset_fake_host();
    fake_host().says = "yes";
  }

  static ConversationOptions options(std::uint32_t n_ctx = 256) {
    ConversationOptions options;
    options.context.n_ctx = n_ctx;
    options.answer.sampler.temperature = 0;
    return options;
  }
  static Conversation begin(ConversationOptions options) {
    return *Conversation::create(*Model::open("fake"), std::move(options));
  }
  /// Says it, with the pieces gone through the sink; they must be the answer's text.
  static Turn say(Conversation& talk, const std::string& text) {
    std::string pieces;
    auto turn = talk.say(text, [&](std::string_view piece) {
      pieces += piece;
      return true;
    });
    EXPECT_TRUE(turn.has_value()) << turn.error().message;
    EXPECT_EQ(turn->text, pieces);
    return *turn;
  }
  /// The text that the Context's tokens stand for.
  static std::string held(const Conversation& talk) {
    // What the host reads lies in the Context's bytes; what the SDK knows must be the same.
    const std::span<const Token> tokens = talk.context().tokens();
    const auto* rows = talk.context().block().data() + test::kKvOffset;
    EXPECT_EQ(std::memcmp(rows, tokens.data(), tokens.size_bytes()), 0);
    return *talk.model().detokenize(tokens);
  }
};

TEST_F(GuestConversation, EachTurnComputesOnlyWhatIsNew) {
  fake_host().says = "abba";
  Conversation talk = begin(options());
  const Turn first = say(talk, "hi");
  EXPECT_EQ(first.text, "abba");
  EXPECT_EQ(first.finish, Finish::stop);
  EXPECT_EQ(first.prompt_tokens, 5u);
  EXPECT_EQ(first.reused_tokens, 0u);
  EXPECT_EQ(first.generated_tokens, 4u);
  EXPECT_EQ(held(talk), user("hi") + assistant("abba"));

  fake_host().computed.clear();
  const Turn second = say(talk, "so");
  // The answer's "a", "b" were generated one by one: they stay, although "ab" is one token when it is read.
  EXPECT_EQ(second.reused_tokens, 9u);
  EXPECT_EQ(second.prompt_tokens, 6u);
  EXPECT_EQ(fake_host().computed.size(), 6u + 4u);
  EXPECT_EQ(held(talk), user("hi") + assistant("abba") + control(kEnd) + user("so") + assistant("abba"));
}

TEST_F(GuestConversation, FormatThatRewritesAnswersIsComputedFromTheFirstDifference) {
  fake_host().says = "yes  ";
  fake_host().template_trims = true;
  Conversation talk = begin(options());
  say(talk, "hi");
  const Turn second = say(talk, "so");
  EXPECT_EQ(second.reused_tokens, user("hi").size() + assistant("yes").size());
  EXPECT_EQ(held(talk), user("hi") + assistant("yes") + control(kEnd) + user("so") + assistant("yes  "));
}

TEST_F(GuestConversation, AZeroByteThatTheModelSaysDoesNotEndTheConversation) {
  fake_host().says = std::string("y\0es", 4);
  Conversation talk = begin(options());
  EXPECT_EQ(say(talk, "hi").text, fake_host().says);
  say(talk, "so");
  EXPECT_EQ(talk.messages()[1].content, "yes");
  EXPECT_EQ(held(talk), user("hi") + assistant("yes") + control(kEnd) + user("so") + assistant(fake_host().says));
}

TEST_F(GuestConversation, StopStringsTokensDoNotStay) {
  fake_host().says = "one. two";
  ConversationOptions wanted = options();
  wanted.answer.stops = {". t"};
  Conversation talk = begin(wanted);
  const Turn first = say(talk, "hi");
  EXPECT_EQ(first.text, "one");
  EXPECT_EQ(first.finish, Finish::stop);
  say(talk, "so");
  EXPECT_EQ(held(talk), user("hi") + assistant("one") + control(kEnd) + user("so") + assistant("one. "));
}

TEST_F(GuestConversation, AnswerCutByItsLengthGoesOnWithoutALoss) {
  fake_host().says = "abcdef";
  ConversationOptions wanted = options();
  wanted.answer.max_tokens = 3;
  Conversation talk = begin(wanted);
  const Turn first = say(talk, "hi");
  EXPECT_EQ(first.text, "abc");
  EXPECT_EQ(first.finish, Finish::length);
  EXPECT_EQ(first.generated_tokens, 3u);
  const Turn second = say(talk, "so");
  // "c" was generated, but its KV rows are computed with the next prompt.
  EXPECT_EQ(second.reused_tokens, 7u);
  EXPECT_EQ(second.prompt_tokens, 1u + 6u);
  EXPECT_EQ(held(talk), user("hi") + assistant("abc") + control(kEnd) + user("so") + assistant("ab"));
}

TEST_F(GuestConversation, RowsTakenAwayFromOutsideAreComputedAnew) {
  Conversation talk = begin(options());
  say(talk, "hi");
  const std::string before = held(talk);
  auto* header = reinterpret_cast<dw_context_header*>(talk.context().block().data());
  header->n_tokens = 3;
  const Turn second = say(talk, "so");
  EXPECT_EQ(second.reused_tokens, 3u);
  EXPECT_EQ(held(talk), before + control(kEnd) + user("so") + assistant("yes"));
}

TEST_F(GuestConversation, RowsOfUnknownTokensAreForgotten) {
  Conversation talk = begin(options());
  say(talk, "hi");
  const std::string before = held(talk);
  auto* header = reinterpret_cast<dw_context_header*>(talk.context().block().data());
  header->n_tokens += 2;
  say(talk, "so");
  EXPECT_EQ(held(talk), before + control(kEnd) + user("so") + assistant("yes"));
  EXPECT_EQ(header->n_tokens, talk.context().n_tokens());
}

TEST_F(GuestConversation, CancelledAnswerStaysAndTheConversationGoesOn) {
  Conversation talk = begin(options());
  const auto turn = talk.say("hi", [](std::string_view piece) { return piece != "e"; });
  ASSERT_TRUE(turn.has_value());
  EXPECT_EQ(turn->finish, Finish::cancelled);
  EXPECT_EQ(turn->text, "ye");
  EXPECT_EQ(say(talk, "so").finish, Finish::stop);
  EXPECT_EQ(held(talk), user("hi") + assistant("ye") + control(kEnd) + user("so") + assistant("yes"));
}

TEST_F(GuestConversation, CancelledForwardEndsTheAnswer) {
  Conversation talk = begin(options());
  int forwards = 0;
  fake_host().before_forward = [&] { return ++forwards == 3 ? DW_E_CANCELLED : DW_OK; };
  const Turn turn = say(talk, "hi");
  EXPECT_EQ(turn.finish, Finish::cancelled);
  EXPECT_EQ(turn.text, "ye");
  say(talk, "so");
  EXPECT_EQ(held(talk), user("hi") + assistant("ye") + control(kEnd) + user("so") + assistant("yes"));
}

TEST_F(GuestConversation, TurnCancelledBeforeItsFirstWordIsForgotten) {
  Conversation talk = begin(options());
  say(talk, "hi");
  fake_host().before_forward = [] { return DW_E_CANCELLED; };
  const Turn turn = say(talk, "never");
  EXPECT_EQ(turn.finish, Finish::cancelled);
  EXPECT_EQ(turn.prompt_tokens, 0u);
  EXPECT_EQ(talk.messages().size(), 2u);
  fake_host().before_forward = nullptr;
  say(talk, "so");
  EXPECT_EQ(held(talk), user("hi") + assistant("yes") + control(kEnd) + user("so") + assistant("yes"));
}

TEST_F(GuestConversation, FailedTurnIsForgottenAndItsErrorToldWithTheHostsSentence) {
  Conversation talk = begin(options());
  int forwards = 0;
  fake_host().before_forward = [&] { return ++forwards == 2 ? DW_E_DEVICE_LOST : DW_OK; };
  const auto turn = talk.say("hi", [](std::string_view) { return true; });
  ASSERT_FALSE(turn.has_value());
  EXPECT_EQ(turn.error().code, DW_E_DEVICE_LOST);
  EXPECT_EQ(turn.error().message, "The test wants it to fail.");
  EXPECT_TRUE(talk.messages().empty());
  // The same again: all of it is in the Context, and its last token is computed for the logits.
  const Turn again = say(talk, "hi");
  EXPECT_EQ(again.reused_tokens, 4u);
  EXPECT_EQ(again.prompt_tokens, 1u);
  EXPECT_EQ(held(talk), user("hi") + assistant("yes"));
}

TEST_F(GuestConversation, PromptThatDoesNotFitLeavesEverythingAsItWas) {
  Conversation talk = begin(options(16));
  say(talk, "hi");
  const std::string before = held(talk);
  const Turn turn = say(talk, "much too long for it");
  EXPECT_EQ(turn.finish, Finish::context_full);
  EXPECT_EQ(turn.generated_tokens, 0u);
  EXPECT_EQ(held(talk), before);
  EXPECT_EQ(say(talk, "a").finish, Finish::stop);
}

TEST_F(GuestConversation, AnswerEndsWhereTheContextDoes) {
  fake_host().says = "a long answer";
  Conversation talk = begin(options(10));
  const Turn turn = say(talk, "hi");
  EXPECT_EQ(turn.finish, Finish::context_full);
  EXPECT_EQ(turn.text, "a long");  // the last one needs no room
  EXPECT_EQ(talk.context().left(), 0u);
}

TEST_F(GuestConversation, OldestTurnsAreDroppedButNeverTheSystemPrompt) {
  ConversationOptions wanted = options(40);
  wanted.system = "be";
  wanted.when_full = WhenFull::drop_oldest;
  Conversation talk = begin(wanted);
  for (int i = 0; i < 20; ++i) {
    const Turn turn = say(talk, "q" + std::to_string(i));
    ASSERT_EQ(turn.finish, Finish::stop) << i;
    ASSERT_TRUE(held(talk).starts_with(control(kSystem) + "be" + control(kEnd) + user("q").substr(0, 2))) << i;
    ASSERT_TRUE(held(talk).ends_with(user("q" + std::to_string(i)) + assistant("yes"))) << i;
  }
  EXPECT_EQ(say(talk, std::string(100, 'x')).finish, Finish::context_full);
}

TEST_F(GuestConversation, ResetLeavesTheSystemPromptAlone) {
  ConversationOptions wanted = options();
  wanted.system = "be";
  Conversation talk = begin(wanted);
  const Turn first = say(talk, "hi");
  ASSERT_TRUE(talk.reset().has_value());
  EXPECT_EQ(talk.context().n_tokens(), 0u);
  const Turn again = say(talk, "hi");
  EXPECT_EQ(again.prompt_tokens, first.prompt_tokens);
  EXPECT_EQ(again.reused_tokens, 0u);
  EXPECT_EQ(held(talk), control(kSystem) + "be" + control(kEnd) + user("hi") + assistant("yes"));
}

TEST_F(GuestConversation, EmptyAnswerIsAnAnswer) {
  fake_host().says = "";
  Conversation talk = begin(options());
  const Turn turn = say(talk, "hi");
  EXPECT_EQ(turn.finish, Finish::stop);
  EXPECT_EQ(talk.messages().size(), 2u);
}

TEST_F(GuestConversation, UnknownModelIsToldWithTheHostsSentence) {
  const auto model = Model::open("other");
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code, DW_E_NOT_FOUND);
  EXPECT_EQ(model.error().message, "There is no such model.");
}

TEST_F(GuestConversation, CopiedContextGoesOnApartFromTheOriginal) {
  const Model model = *Model::open("fake");
  Context trunk = *Context::create(model, {.n_ctx = 64});
  ASSERT_TRUE(trunk.prefill(std::vector<Token>{1, 2, 3}).has_value());
  Context branch = *trunk.copy();
  ASSERT_TRUE(branch.prefill(std::vector<Token>{4}).has_value());
  ASSERT_TRUE(trunk.truncate(1).has_value());
  EXPECT_THAT(trunk.tokens(), ::testing::ElementsAre(1));
  EXPECT_THAT(branch.tokens(), ::testing::ElementsAre(1, 2, 3, 4));
  const auto* rows = reinterpret_cast<const Token*>(branch.block().data() + test::kKvOffset);
  EXPECT_THAT(std::vector<Token>(rows, rows + 4), ::testing::ElementsAre(1, 2, 3, 4));
}

}  // namespace
}  // namespace driftwood::guest
