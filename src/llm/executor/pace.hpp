// How many tokens of prompts a pass may take along with decoded ones, so that these do not wait long.
//
// Learned from passes as they are measured: what decoded tokens take alone, and what
// each token of a prompt adds. Plain values; one thread at a time.
#pragma once

#include <cstdint>

namespace driftwood {

class Pace {
 public:
  /// `chunk`: most tokens of prompts in a pass.
  explicit Pace(std::uint32_t chunk) : chunk_(chunk) {}

  /// Tokens of prompts beside `n_decoded` decoded ones. 0 now and then: a pass to learn from.
  std::uint32_t allowance(std::uint32_t n_decoded);
  /// What a pass took.
  void note(std::uint32_t n_decoded, std::uint32_t n_prompt, double us);

 private:
  double expected_us(std::uint32_t n_decoded) const;

  std::uint32_t chunk_;
  double decode_us_ = 0;  ///< a pass of n_decode_ decoded tokens alone; 0: not known
  std::uint32_t n_decode_ = 0;
  double prompt_token_us_ = 0;     ///< what one adds; 0: not known
  std::uint32_t since_alone_ = 0;  ///< passes with prompts since decoded tokens had one for themselves
};

}  // namespace driftwood
