#include "llm/top_k.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace driftwood {

namespace {

/// True when `a` stands before `b` in the result.
bool ranks_before(const TokenLogit& a, const TokenLogit& b) noexcept {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

}  // namespace

void select_top_k(std::span<const float> logits, std::span<TokenLogit> best) {
  DW_CHECK(best.size() <= logits.size());
  if (best.empty()) return;
  // A heap of the best so far, its worst on top. Tokens come in rising order, so an equal logit never displaces one.
  std::size_t filled = 0;
  for (std::size_t token = 0; token < logits.size(); ++token) {
    const float logit = std::isnan(logits[token]) ? -std::numeric_limits<float>::infinity() : logits[token];
    const TokenLogit candidate{static_cast<std::int32_t>(token), logit};
    if (filled < best.size()) {
      best[filled++] = candidate;
      std::push_heap(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(filled), ranks_before);
    } else if (logit > best.front().logit) {
      std::ranges::pop_heap(best, ranks_before);
      best.back() = candidate;
      std::ranges::push_heap(best, ranks_before);
    }
  }
  std::ranges::sort_heap(best, ranks_before);
}

}  // namespace driftwood
