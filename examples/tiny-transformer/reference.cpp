// The same step as the device's, in loops that anybody can check.
#include <algorithm>
#include <array>
#include <cmath>

#include "transformer.hpp"

namespace tiny {
namespace {

using Row = std::array<float, kWidth>;

template <std::size_t Outputs, std::size_t Inputs>
std::array<float, Outputs> matmul(const float* weights, const std::array<float, Inputs>& input) {
  std::array<float, Outputs> output{};
  for (std::size_t row = 0; row < Outputs; ++row) {
    for (std::size_t i = 0; i < Inputs; ++i) output[row] += weights[row * Inputs + i] * input[i];
  }
  return output;
}

Row rms_norm(const Row& input, const float* weights) {
  float squares = 0;
  for (const float x : input) squares += x * x;
  const float scale = 1 / std::sqrt(squares / kWidth + kEpsilon);
  Row output;
  for (std::size_t i = 0; i < kWidth; ++i) output[i] = input[i] * scale * weights[i];
  return output;
}

void rope(Row& row, std::uint32_t position) {
  for (std::size_t head = 0; head < kWidth; head += kHeadWidth) {
    for (std::size_t i = 0; i < kHeadWidth / 2; ++i) {
      const float angle =
          static_cast<float>(position) * std::pow(kRopeBase, -2.0F * static_cast<float>(i) / kHeadWidth);
      float& a = row[head + i];
      float& b = row[head + i + kHeadWidth / 2];
      const float turned = a * std::cos(angle) - b * std::sin(angle);
      b = a * std::sin(angle) + b * std::cos(angle);
      a = turned;
    }
  }
}

Row attend(const Layer& layer, const Row& q, std::uint32_t n_kv) {
  Row output{};
  for (std::size_t head = 0; head < kWidth; head += kHeadWidth) {
    std::array<float, kPositions> shares{};
    float highest = -INFINITY;
    for (std::uint32_t t = 0; t < n_kv; ++t) {
      for (std::size_t i = head; i < head + kHeadWidth; ++i) shares[t] += q[i] * layer.k_cache[t * kWidth + i];
      shares[t] /= std::sqrt(static_cast<float>(kHeadWidth));
      highest = std::max(highest, shares[t]);
    }
    float sum = 0;
    for (std::uint32_t t = 0; t < n_kv; ++t) sum += shares[t] = std::exp(shares[t] - highest);
    for (std::uint32_t t = 0; t < n_kv; ++t) {
      for (std::size_t i = head; i < head + kHeadWidth; ++i) {
        output[i] += shares[t] / sum * layer.v_cache[t * kWidth + i];
      }
    }
  }
  return output;
}

void add(Row& to, const Row& from) {
  for (std::size_t i = 0; i < kWidth; ++i) to[i] += from[i];
}

}  // namespace

void reference_step(const Transformer& model, std::int32_t token, std::uint32_t position, std::span<float> logits) {
  Row state;
  std::copy_n(model.embedding + static_cast<std::size_t>(token) * kWidth, kWidth, state.begin());
  for (const Layer& layer : model.layers) {
    Row normed = rms_norm(state, layer.attention_norm);
    Row q = matmul<kWidth>(layer.q, normed);
    Row k = matmul<kWidth>(layer.k, normed);
    const Row v = matmul<kWidth>(layer.v, normed);
    rope(q, position);
    rope(k, position);
    std::copy(k.begin(), k.end(), layer.k_cache + position * kWidth);
    std::copy(v.begin(), v.end(), layer.v_cache + position * kWidth);
    add(state, matmul<kWidth>(layer.out, attend(layer, q, position + 1)));

    normed = rms_norm(state, layer.hidden_norm);
    auto hidden = matmul<kHidden>(layer.gate, normed);
    const auto up = matmul<kHidden>(layer.up, normed);
    for (std::size_t i = 0; i < kHidden; ++i) hidden[i] = hidden[i] / (1 + std::exp(-hidden[i])) * up[i];
    add(state, matmul<kWidth>(layer.down, hidden));
  }
  const auto result = matmul<kVocab>(model.head, rms_norm(state, model.final_norm));
  std::copy(result.begin(), result.end(), logits.begin());
}

}  // namespace tiny
