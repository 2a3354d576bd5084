// Choosing the next token from a model's logits.
//
// The steps, in this order; each may be off:
//
//   penalties     repetition, frequency, presence        penalties.hpp
//   top-k         the k most likely                       A. Fan et al., "Hierarchical neural story generation", 2018
//   top-p         the fewest most likely ones whose       A. Holtzman et al., "The curious case of neural text
//                 probabilities sum to p at least         degeneration", 2019
//   min-p         those at least min_p times as likely    M. Nguyen et al., "Turning up the heat: min-p sampling",
//                 as the most likely one                  2024
//   temperature   logits divided by it, then a draw; 0 takes the most likely token instead (greedy)
//
// Top-p's probabilities are those among what top-k left, before the temperature. Of equal logits the lower token comes
// first. Probabilities are summed as integers (weights.hpp), so the same options, seed, logits and accepted tokens give
// the same token everywhere: on any machine, from all logits or from a list of the top k. All state is plain data in
// the guest's memory, a copy of a Sampler goes on as the original does, and a draw allocates nothing.
// No call to the host; one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "driftwood.h"
#include "driftwood/penalties.hpp"
#include "driftwood/random.hpp"
#include "driftwood/result.hpp"
#include "driftwood/selection.hpp"

namespace driftwood::guest {

struct SamplerOptions {
  float temperature = 0.7F;  ///< 0 (up to 0.001): greedy; at most 100
  std::uint32_t top_k = 40;  ///< 0: off
  float top_p = 0.95F;       ///< above 0; 1: off
  float min_p = 0;           ///< 0 (off) to 1
  Penalties penalties;
  std::uint32_t penalty_window = 256;  ///< accepted tokens that the penalties look back at, at most 2^20
  std::uint64_t seed = 0;
};

class Sampler {
 public:
  /// For vocabularies of up to n_vocab tokens (2^20 at most). invalid_argument: an option out of its range.
  static Result<Sampler> create(const SamplerOptions& options, std::uint32_t n_vocab);

  /// Chooses from the logits of the whole vocabulary, which the penalties change in place.
  /// -1 if there is nothing to choose from: every logit is NaN or -inf.
  std::int32_t sample(std::span<float> logits) noexcept;
  /// Chooses from a list, as DW_LOGITS_TOP_K gives it: the first kListMax entries, in any order. For top-p, they are
  /// all there is. The penalties change their logits in place. -1 as above, or if the list is empty.
  std::int32_t sample(std::span<dw_logit> list) noexcept;
  /// Tells the penalties that a token was taken.
  void accept(std::int32_t token) noexcept { window_.push(token); }

  /// Begins anew: no token accepted, random numbers from the seed.
  void reset() noexcept;

  const SamplerOptions& options() const noexcept { return options_; }

  /// Entries of a list that are looked at; what dw_forward gives at most.
  static constexpr std::size_t kListMax = 1024;

 private:
  Sampler(const SamplerOptions& options, std::uint32_t n_vocab);
  bool greedy() const noexcept;
  /// Weights that top-p keeps of candidates that weigh `all`.
  std::uint64_t top_p_mass(std::uint64_t all) const noexcept;
  std::span<Candidate> cut_by_top_p(std::span<const float> logits, float highest) noexcept;
  std::span<Candidate> cut_by_top_p(std::span<Candidate> candidates, float highest) const noexcept;
  std::span<Candidate> cut_by_min_p(std::span<Candidate> candidates) const noexcept;
  std::int32_t draw(std::span<Candidate> candidates, float highest) noexcept;
  std::int32_t draw_from_all(std::span<const float> logits, float highest) noexcept;

  SamplerOptions options_;
  std::uint32_t n_vocab_ = 0;
  Generator generator_{};
  PenaltyWindow window_;
  std::vector<Candidate> room_;
};

}  // namespace driftwood::guest
