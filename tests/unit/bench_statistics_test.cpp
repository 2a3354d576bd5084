// What the benchmarks say of repeated measurements.
#include <gtest/gtest.h>

#include <numeric>

#include "bench/interleave.hpp"
#include "bench/statistics.hpp"

namespace driftwood::bench {
namespace {

TEST(Statistics, MedianOfAnOddNumberIsTheMiddleAndOfAnEvenOneTheMeanOfTwo) {
  EXPECT_EQ(summarize({9, 1, 5}).median, 5);
  EXPECT_EQ(summarize({9, 1, 5, 7}).median, 6);
  EXPECT_EQ(summarize({3}).median, 3);
}

TEST(Statistics, QuartilesLieBetweenNeighboursInProportion) {
  const Summary summary = summarize({4, 1, 3, 2, 5});
  EXPECT_EQ(summary.q25, 2);
  EXPECT_EQ(summary.q75, 4);
  EXPECT_EQ(summarize({1, 2, 3, 4}).q25, 1.75);
  EXPECT_EQ(summarize({7}).q75, 7);
}

TEST(Statistics, P95IsTheValueThatNineteenOfTwentyDoNotExceed) {
  std::vector<double> values(20);
  std::iota(values.begin(), values.end(), 1.0);
  const Summary summary = summarize(values);
  EXPECT_EQ(summary.p95, 19);
  EXPECT_EQ(summary.min, 1);
  EXPECT_EQ(summary.runs, 20U);
  EXPECT_EQ(summarize({4, 8}).p95, 8);
}

TEST(Statistics, RatiosArePairwiseSoThatASlowSpellOfBothCancels) {
  EXPECT_EQ(pair_ratios({2, 20, 2}, {1, 10, 1}), (std::vector<double>{2, 2, 2}));
}

TEST(Interleave, TakesTurnsAndLeavesOutTheWarmUp) {
  std::vector<int> order;
  const Measurement sides[] = {[&]() -> Result<double> {
                                 order.push_back(0);
                                 return static_cast<double>(order.size());
                               },
                               [&]() -> Result<double> {
                                 order.push_back(1);
                                 return static_cast<double>(order.size());
                               }};
  const auto values = interleave(sides, {.warm_up = 1, .at_most = 2, .at_least = 2});
  ASSERT_TRUE(values.has_value());
  EXPECT_EQ(order, (std::vector<int>{0, 1, 0, 1, 0, 1}));
  EXPECT_EQ((*values)[0], (std::vector<double>{3, 5}));
  EXPECT_EQ((*values)[1], (std::vector<double>{4, 6}));
}

TEST(Interleave, EndsEarlyWhenTheTimeIsUpButNotBeforeTheLeastNumberOfRounds) {
  int calls = 0;
  const Measurement sides[] = {[&]() -> Result<double> { return ++calls; }};
  const auto values = interleave(sides, {.warm_up = 9, .at_most = 1000, .at_least = 3, .seconds = 1e-12});
  ASSERT_TRUE(values.has_value());
  EXPECT_EQ((*values)[0], (std::vector<double>{2, 3, 4}));
}

TEST(Interleave, EndsAtTheFirstError) {
  int later = 0;
  const Measurement sides[] = {[]() -> Result<double> { return fail(ErrorCode::internal, "It is wrong."); },
                               [&]() -> Result<double> { return ++later; }};
  const auto values = interleave(sides, {.warm_up = 0, .at_most = 3});
  ASSERT_FALSE(values.has_value());
  EXPECT_EQ(values.error().message, "It is wrong.");
  EXPECT_EQ(later, 0);
}

}  // namespace
}  // namespace driftwood::bench
