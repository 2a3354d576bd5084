// Penalties on the logits of tokens that were chosen lately.
//
//   repetition p   a positive logit is divided by p, another one multiplied by it, once however often the token came
//                  (N. Keskar et al., "CTRL", 2019; both signs as in Hugging Face's transformers)
//   frequency a    a * (times it came) is subtracted
//   presence a     a is subtracted if it came at all (frequency and presence: OpenAI's API reference)
//
// No call to the host; one thread at a time. The window is plain data in the guest's memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "driftwood.h"

namespace driftwood::guest {

struct Penalties {
  float repetition = 1;  ///< above 0; 1: off
  float presence = 0;    ///< 0: off
  float frequency = 0;   ///< 0: off

  bool off() const noexcept { return repetition == 1 && presence == 0 && frequency == 0; }
};

/// The latest tokens, and what they do to the logits.
class PenaltyWindow {
 public:
  /// Looks back at `size` tokens. All memory that it will need is taken here.
  explicit PenaltyWindow(std::uint32_t size);

  /// Adds a token, forgetting the oldest one when the window is full. Negative ones are passed over.
  void push(std::int32_t token) noexcept;
  void clear() noexcept;
  /// Penalizes in place; linear in the window. Tokens past the end are passed over.
  void apply(const Penalties& penalties, std::span<float> logits) noexcept;
  /// Penalizes the list's logits in place, which may leave it unsorted.
  void apply(const Penalties& penalties, std::span<dw_logit> list) noexcept;

 private:
  struct Slot {
    std::int32_t token;
    std::uint32_t count;  ///< 0: empty
  };
  void count_tokens() noexcept;
  Slot& slot_of(std::int32_t token) noexcept;

  std::vector<std::int32_t> ring_;
  std::uint32_t next_ = 0;  ///< where the next token goes in ring_
  std::uint32_t used_ = 0;
  std::vector<Slot> counts_;  ///< hash table with linear probing, a power of two above twice the window
};

}  // namespace driftwood::guest
