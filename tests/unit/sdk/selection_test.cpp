#include "driftwood/selection.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "driftwood/weights.hpp"
#include "logits.hpp"

namespace driftwood::guest {
namespace {

using test::random_logits;
using test::sorted_tokens;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<std::int32_t> sorted(std::span<const Candidate> candidates) {
  std::vector<std::int32_t> tokens;
  for (const Candidate& candidate : candidates) tokens.push_back(candidate.token);
  std::sort(tokens.begin(), tokens.end());
  return tokens;
}

std::vector<std::int32_t> first_sorted(const std::vector<std::int32_t>& tokens, std::size_t count) {
  std::vector<std::int32_t> first(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count));
  std::sort(first.begin(), first.end());
  return first;
}

std::vector<Candidate> candidates_of(const std::vector<float>& logits) {
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < logits.size(); ++i) candidates.push_back({0, logits[i], static_cast<std::int32_t>(i)});
  return candidates;
}

TEST(GuestWeights, ExpIsRightToATenMillionth) {
  for (float x = -79; x <= 0; x += 0.00173F) {
    const double exact = std::exp(static_cast<double>(x));
    EXPECT_NEAR(static_cast<double>(exp_of_negative(F32x4{x, x, x, x})[2]) / exact, 1, 1e-7) << x;
  }
}

TEST(GuestWeights, WeightIsExpInUnitsOf2ToTheMinus40) {
  EXPECT_EQ(weight_of_log(0), kWeightOne);
  for (float x = -20; x <= 0; x += 0.0117F) {
    const double exact = std::exp(static_cast<double>(x)) * static_cast<double>(kWeightOne);
    EXPECT_NEAR(static_cast<double>(weight_of_log(x)), exact, exact * 1e-7 + 1) << x;
  }
  EXPECT_EQ(weight_of_log(-29), 0u);
  EXPECT_EQ(weight_of_log(-kInfinity), 0u);
  EXPECT_EQ(weight_of_log(kNan), 0u);
}

TEST(GuestSelection, HighestTokenIsTheLowestOfEqualOnes) {
  EXPECT_EQ(highest_token(std::vector<float>{1, 3, 2, 3, 3}), 1);
  EXPECT_EQ(highest_token(std::vector<float>{kNan, -kInfinity, -5, kNan}), 2);
  EXPECT_EQ(highest_token(std::vector<float>{kNan, -kInfinity}), -1);
  EXPECT_EQ(highest_token({}), -1);
}

TEST(GuestSelection, TopKIsThatOfASortWhateverTheTies) {
  for (const std::size_t size : {1, 3, 15, 16, 17, 31, 1000, 5003}) {
    for (const float step : {0.0F, 0.5F, 100.0F}) {
      const auto logits = random_logits(size, static_cast<std::uint32_t>(size), 3, step);
      const auto order = sorted_tokens(logits);
      for (const std::size_t k : {1, 2, 7, 40, 1000}) {
        std::vector<Candidate> room(2 * k + kSelectionBlock);
        EXPECT_EQ(sorted(collect_top_k(logits, k, room)), first_sorted(order, std::min(k, size)))
            << size << " " << step << " " << k;
      }
    }
  }
}

TEST(GuestSelection, TopKPassesOverWhatIsNoNumber) {
  std::vector<float> logits(40, -kInfinity);
  logits[3] = kNan;
  logits[20] = 1;
  logits[39] = -1e30F;
  std::vector<Candidate> room(10 + kSelectionBlock);
  EXPECT_EQ(sorted(collect_top_k(logits, 5, room)), (std::vector<std::int32_t>{20, 39}));
}

TEST(GuestSelection, CollectFromTakesTheFloorItself) {
  const auto logits = random_logits(1003, 8, 2, 0.5F);
  std::vector<Candidate> room(logits.size() + kSelectionBlock);
  std::vector<std::int32_t> expected;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] >= 1.5F) expected.push_back(static_cast<std::int32_t>(i));
  }
  EXPECT_EQ(sorted(collect_from(logits, 1.5F, room)), expected);
}

TEST(GuestSelection, SumsOfWeightsAgreeInEveryWayOfAdding) {
  for (const std::size_t size : {1, 2, 3, 4, 5, 1001}) {
    const auto logits = random_logits(size, 4, 4);
    auto candidates = candidates_of(logits);
    const float highest = highest_logit(logits);
    EXPECT_EQ(set_weights(candidates, highest, 0.7F), sum_weights(logits, highest, 0.7F));
    std::uint64_t sum = 0;
    for (const float logit : logits) sum += weight_of_log((logit - highest) * 0.7F);
    EXPECT_EQ(sum_weights(logits, highest, 0.7F), sum);
  }
}

TEST(GuestSelection, TokenAtMassFindsEachTokensShare) {
  const std::vector<float> logits = {0, -kInfinity, -1, -0.5F, -3};
  const std::uint64_t all = sum_weights(logits, 0, 1);
  std::uint64_t before = 0;
  for (const std::int32_t token : {0, 2, 3, 4}) {
    const std::uint64_t weight = weight_of_log(logits[static_cast<std::size_t>(token)]);
    EXPECT_EQ(token_at_mass(logits, 0, 1, before), token);
    EXPECT_EQ(token_at_mass(logits, 0, 1, before + weight - 1), token);
    before += weight;
  }
  EXPECT_EQ(before, all);
  EXPECT_EQ(token_at_mass(logits, 0, 1, all), -1);
}

TEST(GuestSelection, KeepMassIsTheShortestBeginningOfASort) {
  for (const std::size_t size : {1, 2, 3, 50, 3000}) {
    for (const float step : {0.0F, 0.5F, 100.0F}) {
      const auto logits = random_logits(size, 77, 2, step);
      const auto order = sorted_tokens(logits);
      auto weighed = candidates_of(logits);
      const std::uint64_t all = set_weights(weighed, highest_logit(logits), 1);
      for (const double share : {0.0, 0.01, 0.3, 0.5, 0.9, 0.999, 1.0}) {
        const auto mass = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(share * static_cast<double>(all)));
        std::size_t count = 0;
        std::uint64_t sum = 0;
        while (sum < std::min(mass, all)) sum += weighed[static_cast<std::size_t>(order[count++])].weight;
        auto candidates = weighed;
        const auto kept = keep_mass(candidates, std::min(mass, all));
        EXPECT_EQ(sorted(kept), first_sorted(order, count)) << size << " " << step << " " << share;
        EXPECT_EQ(kept.back().token, order[count - 1]);
      }
    }
  }
}

}  // namespace
}  // namespace driftwood::guest
