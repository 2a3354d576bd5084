// The tokenizer over a synthetic vocabulary, and over hostile ones.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "model/gguf.hpp"
#include "model/tokenizer.hpp"
#include "tools/gguf_writer.hpp"
#include "tools/synthetic_vocabulary.hpp"

namespace driftwood {
namespace {

using ::testing::ElementsAre;
using testing::GgufWriter;
using ::testing::HasSubstr;

constexpr Token kStart = 1;
constexpr Token kEnd = 2;

Result<std::unique_ptr<Tokenizer>> load(const GgufWriter& writer) {
  const auto bytes = writer.bytes();
  const auto gguf = Gguf::parse(bytes);
  if (!gguf) return std::unexpected(gguf.error());
  return Tokenizer::load(*gguf);
}

class SyntheticTokenizer : public ::testing::Test {
 protected:
  void SetUp() override {
    GgufWriter writer;
    writer.add("general.architecture", "llama");
    testing::add_synthetic_vocabulary(writer, testing::kMinVocabulary);
    auto loaded = load(writer);
    ASSERT_TRUE(loaded) << loaded.error().to_string();
    tokenizer_ = *std::move(loaded);
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(SyntheticTokenizer, TextOfAnyBytesComesBackUnchanged) {
  for (const std::string text : {"", "the other in there", "Zürich, 東京 🌊\n\ttabs  and   spaces", "a\x01z"}) {
    const auto tokens = tokenizer_->tokenize(text, false, false);
    ASSERT_TRUE(tokens) << tokens.error().to_string();
    EXPECT_EQ(*tokenizer_->detokenize(*tokens, false), text);
  }
}

TEST_F(SyntheticTokenizer, MergesMakeOneTokenOfACommonWord) {
  EXPECT_EQ(tokenizer_->tokenize(" the", false, false)->size(), 1U);
  EXPECT_EQ(tokenizer_->tokenize("xyz", false, false)->size(), 3U);
}

TEST_F(SyntheticTokenizer, SpecialTokensAreParsedOnlyWhenAsked) {
  EXPECT_THAT(*tokenizer_->tokenize("<|im_start|>", false, true), ElementsAre(kStart));
  EXPECT_GT(tokenizer_->tokenize("<|im_start|>", false, false)->size(), 1U);
}

TEST_F(SyntheticTokenizer, SpecialTokensAreSpelledOnlyWhenAsked) {
  const std::vector<Token> tokens{kStart, kEnd};
  EXPECT_EQ(*tokenizer_->detokenize(tokens, true), "<|im_start|><|im_end|>");
  EXPECT_EQ(*tokenizer_->detokenize(tokens, false), "");
}

TEST_F(SyntheticTokenizer, EndsAreKnown) {
  EXPECT_EQ(tokenizer_->bos(), kStart);
  EXPECT_EQ(tokenizer_->eos(), kEnd);
  EXPECT_TRUE(tokenizer_->is_end(kEnd));
  EXPECT_FALSE(tokenizer_->is_end(kStart));
  EXPECT_FALSE(tokenizer_->is_end(-1));
  EXPECT_FALSE(tokenizer_->is_end(1 << 30));
}

TEST_F(SyntheticTokenizer, TokensOutsideTheVocabularyAreRefused) {
  for (const Token token : {-1, static_cast<Token>(testing::kMinVocabulary), INT32_MAX, INT32_MIN}) {
    const auto text = tokenizer_->detokenize(std::vector{token}, true);
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(text.error().message, HasSubstr(std::to_string(token)));
  }
}

TEST_F(SyntheticTokenizer, ChatIsWrittenAsChatMl) {
  const ChatMessage messages[] = {{"system", "Be brief."}, {"user", "Hello"}};
  EXPECT_EQ(*tokenizer_->apply_chat_template(messages, true),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(*tokenizer_->apply_chat_template(messages, false),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n");
  EXPECT_TRUE(tokenizer_->apply_chat_template({}, true));
}

TEST_F(SyntheticTokenizer, LongChatsAreNotCutOff) {
  const std::string content(20000, 'x');
  const ChatMessage messages[] = {{"user", content}};
  EXPECT_EQ(*tokenizer_->apply_chat_template(messages, false), "<|im_start|>user\n" + content + "<|im_end|>\n");
}

TEST_F(SyntheticTokenizer, ChatMessagesWithZeroBytesAreRefused) {
  using std::string_view_literals::operator""sv;
  const ChatMessage messages[] = {{"user", "a\0b"sv}};
  EXPECT_EQ(tokenizer_->apply_chat_template(messages, true).error().code, ErrorCode::invalid_argument);
}

TEST_F(SyntheticTokenizer, ManyThreadsGetTheSameTokens) {
  const std::string text = "then the others in another rain";
  const auto expected = *tokenizer_->tokenize(text, true, true);
  std::vector<std::vector<Token>> results(8);
  std::vector<std::thread> threads;
  for (auto& result : results) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) result = *tokenizer_->tokenize(text, true, true);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST(Tokenizer, UnknownChatTemplateFallsBackToChatMl) {
  GgufWriter writer;
  writer.add("general.architecture", "llama");
  writer.add("tokenizer.ggml.model", "gpt2");
  writer.add("tokenizer.ggml.pre", "gpt-2");
  writer.add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"});
  writer.add("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
  writer.add("tokenizer.chat_template", "{{ nobody knows this }}");
  const auto tokenizer = load(writer);
  ASSERT_TRUE(tokenizer) << tokenizer.error().to_string();
  const ChatMessage messages[] = {{"user", "a"}};
  EXPECT_EQ(*(*tokenizer)->apply_chat_template(messages, false), "<|im_start|>user\na<|im_end|>\n");
}

// Vocabularies that libllama would abort over, loop on or silently mangle.
struct Hostile {
  const char* name;
  std::function<void(GgufWriter&)> fill;
  ErrorCode code;
  const char* says;
};

class HostileVocabulary : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileVocabulary, IsRefusedWithTheReason) {
  GgufWriter writer;
  writer.add("general.architecture", "llama");
  GetParam().fill(writer);
  const auto tokenizer = load(writer);
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().code, GetParam().code) << tokenizer.error().message;
  EXPECT_THAT(tokenizer.error().message, HasSubstr(GetParam().says));
}

void add_tokens(GgufWriter& w, const char* model, const std::vector<std::string>& tokens) {
  w.add("tokenizer.ggml.model", model);
  w.add("tokenizer.ggml.tokens", tokens);
}

/// A SentencePiece vocabulary with all bytes, a few words and BOS and EOS.
void add_sentence_pieces(GgufWriter& w) {
  constexpr std::int32_t kNormal = 1;
  constexpr std::int32_t kUnknown = 2;
  constexpr std::int32_t kControl = 3;
  constexpr std::int32_t kByte = 6;
  std::vector<std::string> tokens{"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types{kUnknown, kControl, kControl};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(fmt::format("<0x{:02X}>", byte));
    types.push_back(kByte);
  }
  for (const char* word : {"▁", "t", "h", "e", "th", "he", "▁the", "▁t", "the"}) {
    tokens.emplace_back(word);
    types.push_back(kNormal);
  }
  std::vector<float> scores;
  for (std::size_t i = 0; i < tokens.size(); ++i) scores.push_back(-static_cast<float>(i % 17));
  add_tokens(w, "llama", tokens);
  w.add("tokenizer.ggml.scores", scores);
  w.add("tokenizer.ggml.token_type", types);
}

INSTANTIATE_TEST_SUITE_P(
    Vocabularies, HostileVocabulary,
    ::testing::Values(
        Hostile{"NoModel", [](GgufWriter&) {}, ErrorCode::corrupt, "tokenizer.ggml.model"},
        Hostile{"UnknownModel", [](GgufWriter& w) { add_tokens(w, "bert", {"a"}); }, ErrorCode::unsupported, "bert"},
        Hostile{"NoTokens", [](GgufWriter& w) { w.add("tokenizer.ggml.model", "llama"); }, ErrorCode::corrupt,
                "tokenizer.ggml.tokens is missing"},
        Hostile{"TokensAreNumbers",
                [](GgufWriter& w) {
                  w.add("tokenizer.ggml.model", "llama");
                  w.add("tokenizer.ggml.tokens", std::vector<float>{1.0F});
                },
                ErrorCode::corrupt, "array of 1 to"},
        Hostile{"Twice", [](GgufWriter& w) { add_tokens(w, "llama", {"a", "b", "a"}); }, ErrorCode::corrupt,
                "Token 2 of the vocabulary appears twice"},
        Hostile{"TwiceUpToAZeroByte", [](GgufWriter& w) { add_tokens(w, "llama", {"a", std::string("a\0b", 3)}); },
                ErrorCode::corrupt, "Token 1 of the vocabulary appears twice"},
        Hostile{"TwiceAsTheNameOfAnEmptyOne", [](GgufWriter& w) { add_tokens(w, "llama", {"[EMPTY_1]", ""}); },
                ErrorCode::corrupt, "Token 1 of the vocabulary appears twice"},
        Hostile{"ScoresOfNothing",
                [](GgufWriter& w) {
                  add_tokens(w, "llama", {"a", "b"});
                  w.add("tokenizer.ggml.scores", std::vector<float>{0.0F, __builtin_nanf("")});
                },
                ErrorCode::corrupt, "score of token 1"},
        Hostile{"TooFewScores",
                [](GgufWriter& w) {
                  add_tokens(w, "llama", {"a", "b"});
                  w.add("tokenizer.ggml.scores", std::vector<float>{0.0F});
                },
                ErrorCode::corrupt, "scores"},
        Hostile{"ByteTokenWithoutItsByte",
                [](GgufWriter& w) {
                  add_tokens(w, "llama", {"a"});
                  w.add("tokenizer.ggml.token_type", std::vector<std::int32_t>{6});
                },
                ErrorCode::corrupt, "The vocabulary is unusable"},
        Hostile{"NoMerges", [](GgufWriter& w) { add_tokens(w, "gpt2", {"a"}); }, ErrorCode::corrupt, "merges"},
        Hostile{"BosWantedAndMissing", [](GgufWriter& w) { add_tokens(w, "llama", {"a"}); }, ErrorCode::corrupt,
                "BOS"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Tokenizer, RandomDamageNeverCrashesItOrLibllama) {
  std::mt19937_64 random(20);
  for (const char* model : {"gpt2", "llama"}) {
    GgufWriter writer;
    writer.add("general.architecture", "llama");
    if (std::string_view(model) == "gpt2") {
      testing::add_synthetic_vocabulary(writer, testing::kMinVocabulary);
    } else {
      add_sentence_pieces(writer);
    }
    const auto sound = writer.bytes();
    for (int round = 0; round < 1000; ++round) {
      auto bytes = sound;
      for (std::uint64_t flips = 1 + random() % 6; flips > 0; --flips) {
        bytes[random() % bytes.size()] ^= static_cast<std::byte>(1U << (random() % 8));
      }
      const auto gguf = Gguf::parse(bytes);
      if (!gguf) continue;
      const auto tokenizer = Tokenizer::load(*gguf);
      if (!tokenizer) continue;
      const auto tokens = (*tokenizer)->tokenize("The other <|im_end|> one, 東京\n", true, true);
      if (tokens) (void)(*tokenizer)->detokenize(*tokens, true);
      const ChatMessage messages[] = {{"system", "a"}, {"user", "b"}, {"assistant", "c"}};
      (void)(*tokenizer)->apply_chat_template(messages, true);
    }
  }
}

TEST(Tokenizer, SentencePiecesSpellAnyTextAfterTheirLeadingSpace) {
  GgufWriter writer;
  writer.add("general.architecture", "llama");
  add_sentence_pieces(writer);
  const auto tokenizer = load(writer);
  ASSERT_TRUE(tokenizer) << tokenizer.error().to_string();
  EXPECT_TRUE((*tokenizer)->adds_bos());
  const auto tokens = (*tokenizer)->tokenize("the 東京", true, false);
  ASSERT_TRUE(tokens) << tokens.error().to_string();
  EXPECT_EQ(tokens->front(), (*tokenizer)->bos());
  EXPECT_EQ(*(*tokenizer)->detokenize(*tokens, false), " the 東京");
}

TEST(Tokenizer, TextThatTheVocabularyCannotSpellIsAnError) {
  GgufWriter writer;
  writer.add("general.architecture", "llama");
  writer.add("tokenizer.ggml.model", "llama");
  writer.add("tokenizer.ggml.tokens", std::vector<std::string>{"<unk>", "<s>", "</s>", "a"});
  const auto tokenizer = load(writer);
  ASSERT_TRUE(tokenizer) << tokenizer.error().to_string();
  const auto tokens = (*tokenizer)->tokenize("z", false, false);
  ASSERT_FALSE(tokens);
  EXPECT_EQ(tokens.error().code, ErrorCode::corrupt);
}

}  // namespace
}  // namespace driftwood
