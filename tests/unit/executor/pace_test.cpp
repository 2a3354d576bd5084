// How much of a prompt goes beside decoded tokens: over times that are reckoned.
#include "llm/executor/pace.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace driftwood {
namespace {

constexpr std::uint32_t kLayers = 10;
constexpr double kDecodedUs = 10e3;    // beside which a prompt may take half of that
constexpr double kTokenLayerUs = 100;  // for one token of a prompt

class PaceTest : public ::testing::Test {
 protected:
  void know_decoded() { pace_.note_decoded(1, kDecodedUs); }
  void know_prompts() { pace_.note_piece(16, 2, 32 * kTokenLayerUs); }

  Pace pace_{kLayers};
};

TEST_F(PaceTest, ALayerThatTakesLongerThanAllowedComesOnceSeveralPassesHaveAllowedIt) {
  know_decoded();
  know_prompts();
  std::uint32_t layers = 0;
  for (int i = 0; i < 70; ++i) {
    const std::uint32_t now = pace_.layers(70, 1);
    EXPECT_LE(now, 1U);
    layers += now;
  }
  EXPECT_EQ(layers, 50U) << "what a layer leaves of the time counts for the next one";
}

TEST_F(PaceTest, TimeIsNotSavedWhereAPieceGoesOnWithEachPass) {
  know_decoded();
  know_prompts();
  EXPECT_EQ(pace_.layers(90, 1), 0U);
  EXPECT_EQ(pace_.layers(10, 1), 5U);
  EXPECT_EQ(pace_.layers(90, 1), 0U);
  EXPECT_EQ(pace_.layers(90, 1), 1U);
}

TEST_F(PaceTest, BeforeTheFirstMeasureALayerIsLeftToMakeOne) {
  EXPECT_EQ(pace_.layers(512, 1), 1U);
  EXPECT_EQ(pace_.layers_within(512, 1e6), 1U);
  know_decoded();
  EXPECT_EQ(pace_.layers(1, 1e6), kLayers - 1);
  EXPECT_EQ(pace_.layers_within(1, 1e9), kLayers - 1);
  know_prompts();
  EXPECT_EQ(pace_.layers(1, 1e6), kLayers);
  EXPECT_EQ(pace_.layers_within(1, 1e9), kLayers);
}

TEST_F(PaceTest, TokensOfPromptsAreTakenForNoSlowerThanDecodedOnesUntilTheyAreMeasured) {
  EXPECT_EQ(pace_.tokens_within(1, 1e6), 0U);
  EXPECT_EQ(pace_.tokens_within(1, INFINITY), UINT32_MAX);
  know_decoded();
  EXPECT_EQ(pace_.tokens_within(1, 10 * kDecodedUs / kLayers), 10U);
  know_prompts();
  EXPECT_EQ(pace_.tokens_within(2, 20 * kTokenLayerUs), 10U);
}

TEST_F(PaceTest, ARareOutlierMovesWhatIsKnownByLittle) {
  know_decoded();
  know_prompts();
  pace_.note_decoded(1, 1e9);
  pace_.note_piece(16, 2, 1e9);
  EXPECT_EQ(pace_.tokens_within(1, 130 * kTokenLayerUs), 100U);
  EXPECT_EQ(pace_.layers_within(1, 0), kLayers);
  EXPECT_EQ(pace_.layers_within(10, 0), 5U) << "half of 13 ms, in layers of 1.3";
  for (int i = 0; i < 30; ++i) pace_.note_decoded(1, 2 * kDecodedUs);
  for (int i = 0; i < 30; ++i) pace_.note_piece(16, 2, 64 * kTokenLayerUs);
  EXPECT_EQ(pace_.layers_within(20, 0), 2U) << "what stays is learned";
}

TEST_F(PaceTest, AnotherNumberOfDecodedTokensIsAnotherMeasure) {
  know_decoded();
  know_prompts();
  pace_.note_decoded(100, 4 * kDecodedUs);
  EXPECT_EQ(pace_.layers_within(25, 0), 8U);
  pace_.note_decoded(110, 2 * kDecodedUs);
  EXPECT_EQ(pace_.layers_within(25, 0), 6U);
}

TEST_F(PaceTest, LayersTakeWhatTheyAreGivenOrWhatDecodedTokensAllow) {
  know_decoded();
  know_prompts();
  EXPECT_EQ(pace_.layers_within(10, 1e3), 5U);
  EXPECT_EQ(pace_.layers_within(10, 7e3), 7U);
  EXPECT_EQ(pace_.layers_within(512, 1e3), 1U) << "at least one";
}

TEST_F(PaceTest, APieceIsAPowerOfTwoThatIsNeitherSmallNorLarge) {
  EXPECT_EQ(pace_.piece_tokens(1), 8U);
  know_decoded();
  know_prompts();
  EXPECT_EQ(pace_.piece_tokens(1), 16U) << "two layers of it are allowed";
  EXPECT_EQ(pace_.piece_tokens(1.0 / 256), 8U);
  EXPECT_EQ(pace_.piece_tokens(256), 64U);
}

}  // namespace
}  // namespace driftwood
