#include "driftwood/penalties.hpp"

#include <gtest/gtest.h>

namespace driftwood::guest {
namespace {

std::vector<float> apply(PenaltyWindow& window, const Penalties& penalties, std::vector<float> logits) {
  window.apply(penalties, logits);
  return logits;
}

TEST(GuestPenalties, RepetitionDividesPositiveLogitsAndMultipliesOthersOnce) {
  PenaltyWindow window(8);
  for (const std::int32_t token : {0, 1, 1, 1}) window.push(token);
  EXPECT_EQ(apply(window, {.repetition = 2}, {4, -4, 4, -4}), (std::vector<float>{2, -8, 4, -4}));
}

TEST(GuestPenalties, FrequencyCountsAndPresenceDoesNot) {
  PenaltyWindow window(8);
  for (const std::int32_t token : {2, 0, 2, 2}) window.push(token);
  EXPECT_EQ(apply(window, {.frequency = 0.5F}, {1, 1, 1}), (std::vector<float>{0.5F, 1, -0.5F}));
  EXPECT_EQ(apply(window, {.presence = 0.5F}, {1, 1, 1}), (std::vector<float>{0.5F, 1, 0.5F}));
  EXPECT_EQ(apply(window, {.repetition = 2, .presence = 1, .frequency = 0.25F}, {4, 4, 4}),
            (std::vector<float>{0.75F, 4, 0.25F}));
}

TEST(GuestPenalties, OnlyTheWindowsLatestTokensCount) {
  PenaltyWindow window(3);
  for (const std::int32_t token : {0, 1, 1, 2}) window.push(token);
  EXPECT_EQ(apply(window, {.frequency = 1}, {0, 0, 0}), (std::vector<float>{0, -2, -1}));
  window.push(0);
  window.push(0);
  EXPECT_EQ(apply(window, {.frequency = 1}, {0, 0, 0}), (std::vector<float>{-2, 0, -1}));
  window.clear();
  EXPECT_EQ(apply(window, {.frequency = 1}, {0, 0, 0}), (std::vector<float>{0, 0, 0}));
}

TEST(GuestPenalties, CountsAgreeWithAPlainCountOverAFullWindow) {
  PenaltyWindow window(100);
  std::vector<std::int32_t> pushed;
  std::uint32_t state = 1;
  for (int i = 0; i < 1000; ++i) {
    state = state * 1664525 + 1013904223;
    pushed.push_back(static_cast<std::int32_t>(state >> 16) % 150 * 1024);
    window.push(pushed.back());
    if (i % 50 != 49) continue;
    std::vector<float> logits(150 * 1024);
    std::vector<float> expected = logits;
    for (std::size_t k = pushed.size() > 100 ? pushed.size() - 100 : 0; k < pushed.size(); ++k) {
      expected[static_cast<std::size_t>(pushed[k])] -= 1;
    }
    window.apply({.frequency = 1}, logits);
    EXPECT_EQ(logits, expected);
  }
}

TEST(GuestPenalties, ListsArePenalizedLikeAllLogits) {
  PenaltyWindow window(8);
  for (const std::int32_t token : {7, 3, 7}) window.push(token);
  std::vector<dw_logit> list = {{7, 4}, {1, 3}, {3, -1}};
  window.apply({.repetition = 2, .frequency = 0.5F}, list);
  EXPECT_EQ(list[0].logit, 1);
  EXPECT_EQ(list[1].logit, 3);
  EXPECT_EQ(list[2].logit, -2.5F);
}

TEST(GuestPenalties, TokensOutsideTheVocabularyAreHarmless) {
  PenaltyWindow window(4);
  for (const std::int32_t token : {-1, 1000000, 1}) window.push(token);
  EXPECT_EQ(apply(window, {.presence = 1}, {0, 0}), (std::vector<float>{0, -1}));
  PenaltyWindow none(0);
  none.push(1);
  EXPECT_EQ(apply(none, {.presence = 1}, {0, 0}), (std::vector<float>{0, 0}));
}

}  // namespace
}  // namespace driftwood::guest
