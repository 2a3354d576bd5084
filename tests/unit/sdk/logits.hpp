// Logits for the sampler's tests, and plain references for what it computes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace driftwood::guest::test {

/// Normal logits; `step` above 0 rounds them to multiples of it, which makes ties.
inline std::vector<float> random_logits(std::size_t size, std::uint32_t seed, float spread, float step = 0) {
  std::mt19937 bits(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(size);
  for (float& logit : logits) {
    logit = normal(bits);
    if (step > 0) logit = std::round(logit / step) * step;
  }
  return logits;
}

/// All tokens by falling logit, of equal ones the lower first.
inline std::vector<std::int32_t> sorted_tokens(const std::vector<float>& logits) {
  std::vector<std::int32_t> tokens(logits.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i);
  std::stable_sort(tokens.begin(), tokens.end(), [&](auto a, auto b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  return tokens;
}

/// Softmax of logits / temperature, in double.
inline std::vector<double> probabilities(const std::vector<float>& logits, double temperature = 1) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> result(logits.size());
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) sum += result[i] = std::exp((logits[i] - highest) / temperature);
  for (double& probability : result) probability /= sum;
  return result;
}

}  // namespace driftwood::guest::test
