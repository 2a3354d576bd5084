// Texts that are written to bring libllama's tokenizer down.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "model/gguf.hpp"
#include "model/text_guard.hpp"
#include "model/tokenizer.hpp"
#include "tools/synthetic_vocabulary.hpp"

namespace driftwood {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Tokenizer> tokenizer_with(std::string_view pre_tokenizer) {
  testing::GgufWriter writer;
  writer.add("general.architecture", "llama");
  testing::add_synthetic_vocabulary(writer, testing::kMinVocabulary, pre_tokenizer);
  const auto bytes = writer.bytes();
  return *Tokenizer::load(*Gguf::parse(bytes));
}

TEST(TextGuard, LongestRunCountsCharactersBetweenChangesOfSpace) {
  EXPECT_EQ(longest_run(""), 0U);
  EXPECT_EQ(longest_run("ab cde  f"), 3U);
  EXPECT_EQ(longest_run("a \t\r\n b"), 5U);
  EXPECT_EQ(longest_run("東京都 x"), 3U);
}

TEST(TextGuard, ValidTextIsLeftAlone) {
  for (const std::string_view text : {"", "plain", "Zürich 東京 🌊", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(replace_invalid_utf8(text), std::nullopt) << text;
  }
}

TEST(TextGuard, EachInvalidByteBecomesOneReplacement) {
  EXPECT_EQ(replace_invalid_utf8("a\xFFz"), "a\uFFFDz");
  EXPECT_EQ(replace_invalid_utf8("\x80"), "\uFFFD");
  EXPECT_EQ(replace_invalid_utf8("\xE6\x9D"), "\uFFFD\uFFFD");
  EXPECT_EQ(replace_invalid_utf8("\xC3("), "\uFFFD(");
  EXPECT_EQ(replace_invalid_utf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST(TextGuard, DeepStackHoldsWhatAnOrdinaryOneDoesNot) {
  volatile char last = 0;
  const auto deep = with_deep_stack([&] {
    volatile char stack[32 << 20];
    stack[0] = 7;
    last = stack[0];
  });
  ASSERT_TRUE(deep) << deep.error().to_string();
  EXPECT_EQ(last, 7);
}

class EachPreTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(EachPreTokenizer, LongestRunsAreTakenOnAnyThread) {
  const auto tokenizer = tokenizer_with(GetParam());
  for (const std::string_view piece : {"a", " ", "!", "\n", "aB"}) {
    std::string text;
    while (text.size() + piece.size() <= kLongestRun) text += piece;
    const auto tokens = tokenizer->tokenize(text, false, false);
    ASSERT_TRUE(tokens) << tokens.error().to_string();
    EXPECT_EQ(*tokenizer->detokenize(*tokens, false), text);
  }
}

TEST_P(EachPreTokenizer, LongerRunsAreRefused) {
  const auto tokenizer = tokenizer_with(GetParam());
  const auto tokens = tokenizer->tokenize(std::string(kLongestRun + 1, 'a'), false, false);
  ASSERT_FALSE(tokens);
  EXPECT_EQ(tokens.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(tokens.error().message, HasSubstr("65537"));
}

TEST_P(EachPreTokenizer, InvalidBytesGiveTokens) {
  const auto tokenizer = tokenizer_with(GetParam());
  const std::string text = "a\xFF\xC3 \xF7\xBF\xBF\xBF";
  const auto tokens = tokenizer->tokenize(text, false, false);
  ASSERT_TRUE(tokens) << tokens.error().to_string();
  EXPECT_EQ(*tokenizer->detokenize(*tokens, false), *replace_invalid_utf8(text));
}

INSTANTIATE_TEST_SUITE_P(PreTokenizers, EachPreTokenizer,
                         ::testing::Values("gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "gpt-4o", "refact"),
                         [](const auto& row) {
                           std::string name = row.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace driftwood
