#include "llm/executor/pace.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace driftwood {

namespace {

// Decoded tokens come this much slower while a prompt of the same priority is computed. Well below 2: a decoded token
// also waits for its guest, and what is felt is not the usual pass but the slowest of a hundred.
constexpr double kStretch = 1.5;
// A piece's number of tokens is a power of two, so that shapes stay few.
constexpr double kMostTokens = 64;
// Fewer cost more each, since a piece reads all KV rows before it: what has a small share waits for its turn instead.
constexpr double kFewTokens = 8;
constexpr double kSteps = 2;  // layers at a time, at least, where a piece can be so small
constexpr double kNew = 0.3;  // weight of a new measurement

double blended(double old, double measured) {
  return old == 0 ? measured : (1 - kNew) * old + kNew * std::clamp(measured, old / 2, old * 2);
}

}  // namespace

double Pace::beside(double us, double share) noexcept { return (kStretch - 1) * us * share; }

double Pace::token_layer_us() const {
  if (token_layer_us_ != 0 || decoded_us_ == 0) return token_layer_us_;
  // Tokens of a prompt are no slower than decoded ones.
  return decoded_us_ / (n_decoded_ * n_layers_);
}

std::uint32_t Pace::bounded(double layers) const {
  // Before the first measure some layers are left to make one: what comes first in a piece is not measured.
  const std::uint32_t most = token_layer_us_ == 0 && n_layers_ > 1 ? n_layers_ - 1 : n_layers_;
  return static_cast<std::uint32_t>(std::clamp(layers, 1.0, static_cast<double>(most)));
}

std::uint32_t Pace::piece_tokens(double share) const {
  const double each = token_layer_us() * kSteps;
  if (decoded_us_ == 0 || each == 0) return static_cast<std::uint32_t>(kFewTokens);
  const double least = std::clamp(beside(decoded_us_, 1) / each, 1.0, kFewTokens);
  return std::bit_floor(static_cast<std::uint32_t>(std::clamp(beside(decoded_us_, share) / each, least, kMostTokens)));
}

std::uint32_t Pace::layers(std::uint32_t n_tokens, double share) {
  const double allowed = beside(decoded_us_, share);
  const double layer = token_layer_us() * n_tokens;
  if (allowed == 0 || layer == 0) return 1;
  if (allowed >= layer) {
    saved_us_ = 0;
    return bounded(allowed / layer);
  }
  saved_us_ += allowed;
  if (saved_us_ < layer) return 0;
  saved_us_ -= layer;
  return 1;
}

std::uint32_t Pace::layers_within(std::uint32_t n_tokens, double us) const {
  const double layer = token_layer_us() * n_tokens;
  return layer == 0 ? 1 : bounded(std::max(us, beside(decoded_us_, 1)) / layer);
}

std::uint32_t Pace::tokens_within(std::uint32_t n_layers, double us) const {
  if (std::isinf(us)) return UINT32_MAX;
  const double each = token_layer_us() * n_layers;
  return each == 0 ? 0 : static_cast<std::uint32_t>(std::min(us / each, 1e9));
}

void Pace::note_decoded(std::uint32_t n_tokens, double us) {
  // Another number of tokens is another measure.
  const bool alike = n_tokens <= 2 * n_decoded_ && n_decoded_ <= 2 * n_tokens;
  decoded_us_ = blended(alike ? decoded_us_ : 0, us);
  n_decoded_ = n_tokens;
}

void Pace::note_piece(std::uint32_t n_tokens, std::uint32_t n_layers, double us) {
  token_layer_us_ = blended(token_layer_us_, us / (n_tokens * n_layers));
}

}  // namespace driftwood
