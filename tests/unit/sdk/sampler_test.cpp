#include "driftwood/sampler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <set>

#include "logits.hpp"
#include "support/golden_sampling.hpp"

namespace driftwood::guest {
namespace {

using test::probabilities;
using test::random_logits;
using test::sorted_tokens;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Everything off but the temperature.
SamplerOptions plain(float temperature = 1) {
  SamplerOptions options;
  options.temperature = temperature;
  options.top_k = 0;
  options.top_p = 1;
  return options;
}

Sampler make(const SamplerOptions& options, std::size_t n_vocab) {
  auto sampler = Sampler::create(options, static_cast<std::uint32_t>(n_vocab));
  EXPECT_TRUE(sampler.has_value());
  return *std::move(sampler);
}

std::vector<dw_logit> top_list(const std::vector<float>& logits, std::size_t k) {
  std::vector<dw_logit> list;
  for (const std::int32_t token : sorted_tokens(logits)) {
    if (list.size() < k) list.push_back({token, logits[static_cast<std::size_t>(token)]});
  }
  return list;
}

/// The tokens that ever come, found at a temperature at which all come about equally often.
std::set<std::int32_t> support(SamplerOptions options, const std::vector<float>& logits) {
  options.temperature = 100;
  Sampler sampler = make(options, logits.size());
  std::set<std::int32_t> seen;
  for (int i = 0; i < 1500; ++i) {
    std::vector<float> copy = logits;
    seen.insert(sampler.sample(copy));
  }
  return seen;
}

std::set<std::int32_t> first_of(const std::vector<std::int32_t>& order, std::size_t count) {
  return {order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count)};
}

/// Draws often, and holds each token's share to `expected` within five standard deviations.
void expect_shares(Sampler sampler, const std::vector<float>& logits, const std::vector<double>& expected) {
  constexpr int kDraws = 200000;
  std::vector<int> counts(logits.size());
  for (int i = 0; i < kDraws; ++i) {
    std::vector<float> copy = logits;
    ++counts[static_cast<std::size_t>(sampler.sample(copy))];
  }
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double deviation = std::sqrt(expected[i] * (1 - expected[i]) / kDraws);
    EXPECT_NEAR(static_cast<double>(counts[i]) / kDraws, expected[i], 5 * deviation + 1e-9) << "token " << i;
  }
}

TEST(GuestSampler, GreedyTakesTheLowestOfTheHighestTokens) {
  Sampler sampler = make(plain(0), 8);
  std::vector<float> logits = {1, 4, 2, 4, 0, 1, 1, 1};
  EXPECT_EQ(sampler.sample(logits), 1);
  std::vector<dw_logit> list = {{6, 2}, {3, 4}, {1, 4}};
  EXPECT_EQ(sampler.sample(list), 1);
}

TEST(GuestSampler, DrawsInProportionToTheSoftmaxAtTheTemperature) {
  const std::vector<float> logits = {2, 1, 0.5F, 0, -1, 1.5F, -0.25F, -4};
  for (const float temperature : {0.5F, 1.0F, 1.7F}) {
    const auto expected = probabilities(logits, static_cast<double>(temperature));
    SamplerOptions options = plain(temperature);
    expect_shares(make(options, logits.size()), logits, expected);  // over all tokens
    options.top_k = 8;
    expect_shares(make(options, logits.size()), logits, expected);  // over candidates
  }
}

TEST(GuestSampler, TopKDrawsFromTheKMostLikelyInProportion) {
  const std::vector<float> logits = {2, 1, 0.5F, 0, -1, 1.5F, -0.25F, -4};
  SamplerOptions options = plain();
  options.top_k = 3;
  auto expected = probabilities({2, 1, 1.5F});
  expect_shares(make(options, logits.size()), logits, {expected[0], expected[1], 0, 0, 0, expected[2], 0, 0});
}

TEST(GuestSampler, TopPKeepsTheFewestTokensThatReachIt) {
  for (const std::uint32_t seed : {1, 2, 3, 4, 5, 6}) {
    const auto logits = random_logits(3000, seed, 5, seed % 2 == 0 ? 0.25F : 0);
    const auto order = sorted_tokens(logits);
    const auto shares = probabilities(logits);
    for (const float top_p : {0.05F, 0.5F, 0.8F}) {
      std::size_t count = 0;
      double sum = 0;
      while (sum < static_cast<double>(top_p)) sum += shares[static_cast<std::size_t>(order[count++])];
      SamplerOptions options = plain();
      options.top_p = top_p;
      EXPECT_EQ(support(options, logits), first_of(order, count)) << seed << " " << top_p;
    }
  }
}

TEST(GuestSampler, TopPAfterTopKSumsOverWhatTopKLeft) {
  // Of the three most likely, with shares 0.5, 0.3, 0.2 among themselves, 0.75 takes two; of all ten it would take
  // more.
  std::vector<float> logits(10, std::log(0.19F));
  logits[4] = std::log(0.5F);
  logits[7] = std::log(0.3F);
  logits[2] = std::log(0.2F);
  SamplerOptions options = plain();
  options.top_p = 0.75F;
  EXPECT_GT(support(options, logits).size(), 3u);
  options.top_k = 3;
  EXPECT_EQ(support(options, logits), (std::set<std::int32_t>{4, 7}));
}

TEST(GuestSampler, MinPKeepsTokensAtLeastThatLikelyComparedToTheFirst) {
  for (const std::uint32_t seed : {1, 2, 3}) {
    const auto logits = random_logits(2000, seed, 4);
    const auto shares = probabilities(logits);
    const double least = 0.05 * *std::max_element(shares.begin(), shares.end());
    std::set<std::int32_t> expected;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      if (shares[i] >= least) expected.insert(static_cast<std::int32_t>(i));
    }
    SamplerOptions options = plain();
    options.min_p = 0.05F;
    EXPECT_EQ(support(options, logits), expected);
    options.top_k = 1000;
    EXPECT_EQ(support(options, logits), expected);
  }
  SamplerOptions options = plain();
  options.min_p = 1;
  EXPECT_EQ(support(options, {3, 1, 3, 2}), (std::set<std::int32_t>{0, 2}));
}

TEST(GuestSampler, AListOfTheTopKGivesTheSameTokensAsAllLogits) {
  const auto logits = random_logits(5000, 11, 3, 0.125F);
  SamplerOptions options = plain(0.8F);
  options.top_k = 50;
  options.top_p = 0.9F;
  options.min_p = 0.01F;
  Sampler from_all = make(options, logits.size());
  Sampler from_list = make(options, logits.size());
  auto top = top_list(logits, 50);
  std::reverse(top.begin(), top.end());
  for (int i = 0; i < 1000; ++i) {
    auto all = logits;
    auto list = top;
    EXPECT_EQ(from_all.sample(all), from_list.sample(list));
  }
}

TEST(GuestSampler, SameSeedGivesTheSameTokensAndResetBeginsAnew) {
  const auto logits = random_logits(1000, 3, 2);
  SamplerOptions options = plain();
  options.penalties.presence = 0.5F;
  options.seed = 42;
  Sampler sampler = make(options, logits.size());
  Sampler other = make(options, logits.size());
  options.seed = 43;
  Sampler different = make(options, logits.size());
  const auto draw = [&](Sampler& from) {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < 64; ++i) {
      auto copy = logits;
      tokens.push_back(from.sample(copy));
      from.accept(tokens.back());
    }
    return tokens;
  };
  const auto first = draw(sampler);
  EXPECT_EQ(draw(other), first);
  EXPECT_NE(draw(different), first);
  EXPECT_NE(draw(sampler), first);
  sampler.reset();
  EXPECT_EQ(draw(sampler), first);
}

TEST(GuestSampler, ACopyGoesOnAsTheOriginalDoes) {
  const auto logits = random_logits(1000, 3, 2);
  Sampler sampler = make(plain(), logits.size());
  auto spent = logits;
  sampler.sample(spent);
  Sampler copy = sampler;
  for (int i = 0; i < 32; ++i) {
    auto a = logits;
    auto b = logits;
    EXPECT_EQ(sampler.sample(a), copy.sample(b));
  }
}

TEST(GuestSampler, TokensOfASeedAreTheSameOnEveryMachine) {
  for (std::size_t kind = 0; kind < test::kGolden.size(); ++kind) {
    EXPECT_THAT(test::golden_tokens(kind), ::testing::ElementsAreArray(test::kGolden[kind])) << kind;
  }
}

TEST(GuestSampler, PassesOverWhatIsNoNumber) {
  for (const std::uint32_t top_k : {0U, 2U}) {
    SamplerOptions options = plain();
    options.top_k = top_k;
    for (const float top_p : {1.0F, 0.9F}) {
      options.top_p = top_p;
      Sampler sampler = make(options, 6);
      for (int i = 0; i < 100; ++i) {
        std::vector<float> logits = {kNan, -kInfinity, 1, -1e30F, kNan, -kInfinity};
        EXPECT_EQ(sampler.sample(logits), 2);
        std::vector<float> nothing = {kNan, -kInfinity};
        EXPECT_EQ(sampler.sample(nothing), -1);
        std::vector<float> endless = {0, kInfinity, 3, kInfinity};
        EXPECT_EQ(sampler.sample(endless), 1);
        std::vector<dw_logit> list = {{3, kNan}, {4, -kInfinity}};
        EXPECT_EQ(sampler.sample(list), -1);
        EXPECT_EQ(sampler.sample(std::span<dw_logit>{}), -1);
      }
    }
  }
}

TEST(GuestSampler, RefusesOptionsOutsideTheirRange) {
  const auto refused = [](auto change) {
    SamplerOptions options;
    change(options);
    const auto sampler = Sampler::create(options, 100);
    return !sampler && sampler.error().code == DW_E_INVALID_ARGUMENT && !sampler.error().message.empty();
  };
  EXPECT_TRUE(refused([](SamplerOptions& options) { options.temperature = -1; }));
  EXPECT_TRUE(refused([](SamplerOptions& options) { options.temperature = kNan; }));
  EXPECT_TRUE(refused([](SamplerOptions& options) { options.top_p = 0; }));
  EXPECT_TRUE(refused([](SamplerOptions& options) { options.top_p = 1.01F; }));
  EXPECT_TRUE(refused([](SamplerOptions& options) { options.min_p = kNan; }));
  EXPECT_TRUE(refused([](SamplerOptions& options) { options.penalties.repetition = 0; }));
  EXPECT_TRUE(refused([](SamplerOptions& options) { options.penalties.presence = kInfinity; }));
  EXPECT_TRUE(refused([](SamplerOptions& options) { options.penalty_window = 1U << 21; }));
  EXPECT_FALSE(Sampler::create({}, 0).has_value());
  EXPECT_FALSE(refused([](SamplerOptions&) {}));
}

}  // namespace
}  // namespace driftwood::guest
