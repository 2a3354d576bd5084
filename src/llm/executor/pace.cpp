#include "llm/executor/pace.hpp"

#include <algorithm>

namespace driftwood {

namespace {

// A pass with prompts takes this much of one without. Well below 2: a decoded token also waits for its guest, and what
// is felt is not the usual pass but the slowest of a hundred.
constexpr double kStretch = 1.5;
constexpr std::uint32_t kLeast = 1;      // tokens of prompts; their number is a power of two, so that shapes stay few
constexpr std::uint32_t kRelearn = 128;  // passes
constexpr double kNew = 0.3;             // weight of a new measurement

double blended(double old, double measured) {
  return old == 0 ? measured : (1 - kNew) * old + kNew * std::clamp(measured, old / 2, old * 2);
}

}  // namespace

double Pace::expected_us(std::uint32_t n_decoded) const {
  const double more = static_cast<double>(n_decoded) - static_cast<double>(n_decode_);
  return std::max(decode_us_ + more * prompt_token_us_, decode_us_ / 2);
}

std::uint32_t Pace::allowance(std::uint32_t n_decoded) {
  if (decode_us_ == 0 || since_alone_ >= kRelearn) return 0;
  if (prompt_token_us_ == 0) return std::min(kLeast, chunk_);
  const double tokens = (kStretch - 1) * expected_us(n_decoded) / prompt_token_us_;
  std::uint32_t allowed = kLeast;
  while (2 * allowed <= tokens && 2 * allowed <= chunk_) allowed *= 2;
  return std::min(allowed, chunk_);
}

void Pace::note(std::uint32_t n_decoded, std::uint32_t n_prompt, double us) {
  if (n_prompt == 0) {
    // Another number of tokens is another measure.
    const bool alike = n_decoded <= 2 * n_decode_ && n_decode_ <= 2 * n_decoded;
    decode_us_ = blended(alike ? decode_us_ : 0, us);
    n_decode_ = n_decoded;
    since_alone_ = 0;
  } else if (n_decoded != 0) {
    ++since_alone_;
    if (decode_us_ != 0)
      prompt_token_us_ = blended(prompt_token_us_, std::max(us - expected_us(n_decoded), us / 50) / n_prompt);
  }
}

}  // namespace driftwood
