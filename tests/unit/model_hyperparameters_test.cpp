// What families make of their metadata, in numbers worked out by hand.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "model/family.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using ::testing::ElementsAre;
using testing::GgufWriter;
using testing::RandomModelOptions;

Result<Hyperparameters> read(const RandomModelOptions& options, const std::function<void(GgufWriter&)>& add = {}) {
  GgufWriter writer = *testing::random_model(options);
  if (add) add(writer);
  const auto bytes = writer.bytes();
  const auto gguf = Gguf::parse(bytes);
  if (!gguf) return std::unexpected(gguf.error());
  return read_hyperparameters(*gguf, *find_family(options.architecture));
}

TEST(Hyperparameters, Gemma2SlidesOnEverySecondLayerOver4096TokensUnlessTheFileSaysOtherwise) {
  const auto unsaid = *read({.architecture = "gemma2", .n_layer = 4});
  EXPECT_EQ(unsaid.sliding_window, 4096U);
  EXPECT_THAT(unsaid.sliding_layer, ElementsAre(true, false, true, false));
  const auto said = *read({.architecture = "gemma2", .n_layer = 3, .sliding_window = 8}, [](GgufWriter& w) {
    w.add_flags("gemma2.attention.sliding_window_pattern", std::vector<std::uint8_t>{0, 1, 1});
  });
  EXPECT_EQ(said.sliding_window, 8U);
  EXPECT_THAT(said.sliding_layer, ElementsAre(false, true, true));
}

TEST(Hyperparameters, Gemma3WithoutAWindowDoesNotSlide) {
  const auto hp = *read({.architecture = "gemma3", .n_layer = 7});
  EXPECT_EQ(hp.sliding_window, 0U);
  EXPECT_FALSE(hp.is_sliding(0));
}

TEST(Hyperparameters, Gemma3KeepsItsLocalRopeUnscaled) {
  const auto hp = *read(testing::representative_options("gemma3"));
  EXPECT_EQ(hp.rope_base, 100000.0F);
  EXPECT_EQ(hp.rope_scale, 0.125F);
  EXPECT_EQ(hp.rope_base_local, 10000.0F);
  EXPECT_EQ(hp.rope_scale_local, 1.0F);
  EXPECT_THAT(hp.sliding_layer, ElementsAre(true, true, true, true, true, false, true));
  EXPECT_FLOAT_EQ(hp.embedding_scale, 8.0F);
}

TEST(Hyperparameters, Gemma27BScalesAttentionByTheEmbeddingsShareOfAHead) {
  RandomModelOptions options{.architecture = "gemma2", .n_layer = 46, .n_embd = 32, .n_head = 2, .n_head_kv = 1};
  options.head_dim = 4;
  EXPECT_FLOAT_EQ(read(options)->attention_scale, 0.25F);
  options.n_layer = 42;
  EXPECT_FLOAT_EQ(read(options)->attention_scale, 0.5F);
}

TEST(Hyperparameters, YarnCancelsTheFactorThatGgmlAppliesByItself) {
  // 1 + 0.1 ln 4 is both what yarn wants and what ggml multiplies by.
  const auto llama = *read({.rope_scaling = "yarn", .rope_scaling_factor = 4.0F, .rope_original_ctx = 128});
  EXPECT_EQ(llama.rope_scale, 0.25F);
  EXPECT_EQ(llama.rope_ext_factor, 1.0F);
  EXPECT_FLOAT_EQ(llama.rope_attn_factor, 1.0F);
  EXPECT_EQ(llama.rope_original_ctx, 128U);
  // mistral3 with a multiplier of 0.5 wants that divided by 1 + 0.05 ln 4.
  const auto mistral = *read(testing::representative_options("mistral3"));
  EXPECT_FLOAT_EQ(mistral.rope_attn_factor, 1.0F / (1.0F + 0.05F * std::log(4.0F)));
  EXPECT_EQ(mistral.rope_beta_fast, 16.0F);
  EXPECT_EQ(mistral.rope_beta_slow, 2.0F);
}

TEST(Hyperparameters, Olmo3SlidesWithoutYarn) {
  const auto hp = *read(testing::representative_options("olmo2"));
  EXPECT_EQ(hp.rope_ext_factor, 1.0F);
  EXPECT_EQ(hp.rope_ext_factor_local, 0.0F);
  EXPECT_EQ(hp.rope_scale_local, 1.0F);
  EXPECT_EQ(hp.rope_attn_factor_local, 1.0F);
}

TEST(Hyperparameters, ScalingOfTypeNoneIgnoresItsFactor) {
  const auto hp = *read({.rope_scaling = "none", .rope_scaling_factor = 8.0F});
  EXPECT_EQ(hp.rope_scale, 1.0F);
}

TEST(Hyperparameters, GraniteDividesItsLogits) {
  const auto hp = *read({.architecture = "granite"});
  EXPECT_EQ(hp.logit_scale, 0.5F);
  EXPECT_EQ(hp.attention_scale, 0.2F);
  EXPECT_EQ(hp.residual_scale, 0.5F);
  EXPECT_EQ(hp.embedding_scale, 3.0F);
}

TEST(Hyperparameters, GraniteWithoutPositionsRotatesNoLayer) {
  const auto hp =
      *read({.architecture = "granite"}, [](GgufWriter& w) { w.add("granite.rope.scaling.finetuned", false); });
  EXPECT_FALSE(hp.has_rope(0));
  EXPECT_TRUE(read({.architecture = "granite"})->has_rope(0));
}

TEST(Hyperparameters, SmolLm3LeavesEveryFourthLayerUnrotated) {
  EXPECT_THAT(read({.architecture = "smollm3", .n_layer = 5})->rope_layer, ElementsAre(true, true, true, false, true));
}

TEST(Hyperparameters, Phi3ChoosesItsRopeFactorsByContextAndRotatesAPart) {
  const auto hp = *read(testing::representative_options("phi3"));
  EXPECT_EQ(hp.rope_factors, RopeFactors::by_context);
  EXPECT_EQ(hp.rope_original_ctx, 64U);
  EXPECT_EQ(hp.rope_dims, 8U);
  EXPECT_EQ(hp.head_dim, 16U);
  EXPECT_TRUE(hp.fused_qkv);
  EXPECT_TRUE(hp.fused_gate_up);
}

TEST(Hyperparameters, PartialRopeIsUnsupportedWhereTheFamilyHasNone) {
  const auto hp = read({.architecture = "llama", .rope_dims = 8});
  ASSERT_FALSE(hp);
  EXPECT_EQ(hp.error().code, ErrorCode::unsupported);
}

TEST(Hyperparameters, HeadsMayDifferFromTheEmbeddingsShare) {
  const auto hp = *read({.architecture = "qwen3", .head_dim = 32});
  EXPECT_EQ(hp.q_dim(), 128U);
  EXPECT_EQ(hp.kv_dim(), 64U);
  EXPECT_EQ(hp.n_embd, 64U);
  EXPECT_FLOAT_EQ(hp.attention_scale, 1.0F / std::sqrt(32.0F));
}

}  // namespace
}  // namespace driftwood
