#include "llm/executor/pace.hpp"

#include <algorithm>
#include <bit>

namespace driftwood {

namespace {

// Decoded tokens come this much slower while a prompt is computed. Well below 2: a decoded token also waits for its
// guest, and what is felt is not the usual pass but the slowest of a hundred.
constexpr double kStretch = 1.5;
// A piece's number of tokens is a power of two, so that shapes stay few.
constexpr double kMostTokens = 64;
constexpr std::uint32_t kFirstTokens = 8;  // while nothing is known
constexpr double kSteps = 2;               // layers at a time, at least, where a piece can be so small
constexpr double kNew = 0.3;               // weight of a new measurement

double blended(double old, double measured) {
  return old == 0 ? measured : (1 - kNew) * old + kNew * std::clamp(measured, old / 2, old * 2);
}

}  // namespace

double Pace::allowance() const {
  return decoded_us_ == 0 || token_layer_us_ == 0 ? 0 : (kStretch - 1) * decoded_us_ / token_layer_us_;
}

std::uint32_t Pace::piece_tokens() const {
  const double allowed = allowance();
  if (allowed == 0) return kFirstTokens;
  return std::bit_floor(static_cast<std::uint32_t>(std::clamp(allowed / kSteps, 1.0, kMostTokens)));
}

std::uint32_t Pace::layers(std::uint32_t n_tokens) const {
  return static_cast<std::uint32_t>(std::clamp(allowance() / n_tokens, 1.0, static_cast<double>(n_layers_)));
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
