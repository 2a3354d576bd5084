// A Context: the KV cache of a token sequence, as an ordinary block of the guest's memory.
//
//   header | token 0: K and V rows of every layer | token 1 | ...
//
// The guest owns it: it may keep several, copy one to try two continuations, and free them at will. The tokens that the
// rows belong to are kept beside it. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "driftwood.h"
#include "driftwood/block.hpp"
#include "driftwood/model.hpp"
#include "driftwood/result.hpp"

namespace driftwood::guest {

struct ContextOptions {
  std::uint32_t n_ctx = 2048;           ///< tokens that it shall hold
  std::uint32_t kv_type = DW_TYPE_F16;  ///< or DW_TYPE_Q8_0
};

/// Room for the logits of a whole vocabulary, aligned as dw_forward wants it.
Result<Block> allocate_logits(const Model& model);

class Context {
 public:
  /// An empty Context. out_of_memory: linear memory can't hold it.
  static Result<Context> create(const Model& model, const ContextOptions& options);

  /// Computes tokens, giving no logits.
  Result<void> prefill(std::span<const Token> tokens);
  /// Computes tokens; the logits of the last one come into `logits` (n_vocab of them).
  Result<void> forward(std::span<const Token> tokens, std::span<float> logits);
  /// Computes tokens; the highest logits of the last one come into `top` (at most 1024), highest first.
  Result<void> forward_top(std::span<const Token> tokens, std::span<dw_logit> top);
  /// Computes tokens; the logits of each come into `logits` (n_vocab for each token).
  Result<void> forward_all(std::span<const Token> tokens, std::span<float> logits);
  // All of them: on an error the Context is as it was. cancelled: the host wants it to stop.

  /// Forgets all tokens from `n_tokens` on.
  Result<void> truncate(std::uint32_t n_tokens);
  /// Brings tokens() and the header together again where rows were put in from outside while the guest was at rest:
  /// the tokens that both count stay. True when some were forgotten.
  Result<bool> reconcile();
  /// Another Context with the same tokens; only their rows are copied.
  Result<Context> copy() const;

  std::span<const Token> tokens() const noexcept { return tokens_; }
  std::uint32_t n_tokens() const noexcept { return static_cast<std::uint32_t>(tokens_.size()); }
  std::uint32_t n_ctx() const noexcept { return params_.n_ctx; }
  std::uint32_t left() const noexcept { return n_ctx() - n_tokens(); }
  std::uint32_t kv_type() const noexcept { return params_.kv_type; }
  /// The bytes that it lies in.
  const Block& block() const noexcept { return block_; }

 private:
  Context() = default;
  Result<void> run(std::span<const Token> tokens, std::uint32_t outputs, std::span<std::byte> logits,
                   std::uint32_t top_k);

  dw_context_params params_{};
  Block block_;
  std::vector<Token> tokens_;
};

}  // namespace driftwood::guest
