// Finding the tokens that matter among all logits, without sorting them.
//
// The order is that of the logits, highest first, and of two equal ones the lower token first: a strict order, so that
// what is selected never depends on how. Logits that are NaN or -inf are never selected. Pure functions over the
// caller's memory; nothing is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace driftwood::guest {

/// A token that may be drawn.
struct Candidate {
  std::uint64_t weight;  ///< see weights.hpp
  float logit;
  std::int32_t token;
};

/// Room that collecting needs beyond what it returns: logits are looked at in blocks of this many.
inline constexpr std::size_t kSelectionBlock = 16;

/// True if `a` comes before `b`.
inline bool comes_before(const Candidate& a, const Candidate& b) noexcept {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

/// The highest logit; -inf if there is none.
float highest_logit(std::span<const float> logits) noexcept;

/// The token of the highest logit; -1 if there is none.
std::int32_t highest_token(std::span<const float> logits) noexcept;

/// The first k (or all, if there are fewer), in no order. `out` has room for 2 * k + kSelectionBlock.
std::span<Candidate> collect_top_k(std::span<const float> logits, std::size_t k, std::span<Candidate> out) noexcept;

/// All of `floor` and above, by token. `out` has room for logits.size() + kSelectionBlock.
std::span<Candidate> collect_from(std::span<const float> logits, float floor, std::span<Candidate> out) noexcept;

/// The first k of `candidates`, in no order.
std::span<Candidate> keep_top_k(std::span<Candidate> candidates, std::size_t k) noexcept;

/// Sets the weights to exp((logit - highest) * scale), scale > 0, and returns their sum.
std::uint64_t set_weights(std::span<Candidate> candidates, float highest, float scale) noexcept;

/// The sum of the weights of all logits.
std::uint64_t sum_weights(std::span<const float> logits, float highest, float scale) noexcept;

/// The token at which the weights, added up in the order of the tokens, first exceed `mass`; -1 if they never do.
std::int32_t token_at_mass(std::span<const float> logits, float highest, float scale, std::uint64_t mass) noexcept;

/// The shortest beginning, in order, whose weights sum to `mass` at least (all, if they never do). It is moved to the
/// front, its last one at its end, the others in no order. Expected time linear: a quickselect by weight.
std::span<Candidate> keep_mass(std::span<Candidate> candidates, std::uint64_t mass) noexcept;

}  // namespace driftwood::guest
