// The real SmolLM2-135M-Instruct, where DRIFTWOOD_TEST_MODEL names its file.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "model/model.hpp"

namespace driftwood {
namespace {

using ::testing::ElementsAre;

class SmolLm : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* path = std::getenv("DRIFTWOOD_TEST_MODEL");
    if (path == nullptr) GTEST_SKIP() << "DRIFTWOOD_TEST_MODEL does not name the model's file.";
    path_ = path;
  }

  std::filesystem::path path_;
};

TEST_F(SmolLm, SummaryIsThatOfTheModelCard) {
  const auto summary = Model::summarize(path_);
  ASSERT_TRUE(summary) << summary.error().to_string();
  EXPECT_EQ(summary->architecture, "llama");
  EXPECT_EQ(summary->file_type, "Q4_1");
  EXPECT_EQ(summary->parameters, 134'515'008U);
  EXPECT_TRUE(summary->supported) << summary->problem;
  const Hyperparameters& hp = summary->hyperparameters;
  EXPECT_EQ(hp.n_vocab, 49152U);
  EXPECT_EQ(hp.n_ctx_train, 8192U);
  EXPECT_EQ(hp.n_embd, 576U);
  EXPECT_EQ(hp.n_layer, 30U);
  EXPECT_EQ(hp.n_head, 9U);
  EXPECT_EQ(hp.n_head_kv, 3U);
  EXPECT_EQ(hp.head_dim, 64U);
  EXPECT_EQ(hp.n_ff, 1536U);
  EXPECT_EQ(hp.rope_base, 100000.0F);
  EXPECT_EQ(hp.rope, RopeKind::normal);
  EXPECT_TRUE(hp.tied_output);
}

TEST_F(SmolLm, OpensOnTheCpuWithoutACopy) {
  const auto device = *open_device("cpu", {.threads = 1});
  const auto model = Model::open(path_, *device);
  ASSERT_TRUE(model) << model.error().to_string();
  EXPECT_EQ((*model)->sharing(), Sharing::same_memory);
  EXPECT_EQ((*model)->hash().to_hex(), "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
}

TEST_F(SmolLm, TokenizerSpeaksTheModelsTokensAndChat) {
  const auto tokenizer = Tokenizer::load(path_);
  ASSERT_TRUE(tokenizer) << tokenizer.error().to_string();
  EXPECT_THAT(*(*tokenizer)->tokenize("Hello, world!<|im_end|>", true, true), ElementsAre(19556, 28, 905, 17, 2));
  EXPECT_EQ((*tokenizer)->eos(), 2);
  EXPECT_TRUE((*tokenizer)->is_end(2));
  EXPECT_FALSE((*tokenizer)->adds_bos());
  const std::string text = "Grüße aus 東京 🌊, it's 12:30!\n";
  EXPECT_EQ(*(*tokenizer)->detokenize(*(*tokenizer)->tokenize(text, false, false), false), text);

  const ChatMessage messages[] = {{"system", "You are brief."}, {"user", "Hi"}};
  EXPECT_EQ(*(*tokenizer)->apply_chat_template(messages, true),
            "<|im_start|>system\nYou are brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

}  // namespace
}  // namespace driftwood
