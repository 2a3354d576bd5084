// What a forward pass is asked for. Values; any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>

#include "core/bytes.hpp"
#include "device/import.hpp"
#include "model/tokenizer.hpp"

namespace driftwood {

enum class Outputs : std::uint8_t { none, last, all, top_k };

struct TokenLogit {
  std::int32_t token;
  float logit;
};

inline constexpr std::int8_t kMostPriority = 8;  ///< and, negated, the least

struct ForwardRequest {
  const Import* memory =
      nullptr;                    ///< the linear memory, as the model's device holds it; one request at a time for each
  ByteRange context;              ///< of the whole Context in `memory`
  std::span<const Token> tokens;  ///< host's view; each must be in the vocabulary
  Outputs outputs = Outputs::last;
  ByteRange logits;  ///< where they go in `memory`: f32 rows, or TokenLogit[top_k]
  std::uint32_t top_k = 0;
  const std::atomic<bool>* cancel = nullptr;  ///< looked at between passes and, where a pass serves nobody else, in it
  /// Tokens, after each pass. Called while the caller waits, by whichever thread runs the pass, which it holds up.
  std::function<void(std::uint32_t done, std::uint32_t all)> progress;
  /// Among requests that wait for the same model; 0 for most. Each step more doubles the share of a prompt, among
  /// prompts and beside decoded tokens, which are computed together. No result depends on it.
  std::int8_t priority = 0;
};

}  // namespace driftwood
