// Attention over KV rows where they lie, on host threads, as a ggml operator.
//
// The rows of one sequence come as a list of spans (a shared prefix read through
// its Image, then the actor's own tail), each row strided by token. A graph holds
// AttentionNodes (constant) that point at one KvState, which is refilled before
// each run: so a graph does not depend on how many tokens came before.
// Each K or V row is read once for all query heads of its group.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "device/cpu/work_counter.hpp"

namespace driftwood::cpu {

/// Tokens of a sequence that lie one after another, KvState::token_stride bytes apart.
struct KvSpan {
  const std::byte* tokens = nullptr;  ///< record of the span's first token
  std::uint32_t n_tokens = 0;
};

/// Where the partial results of an operator's threads lie.
class PartialResults {
 public:
  /// Room for at least `floats`; every thread of an operator asks for the same amount.
  std::span<float> floats(std::size_t floats);

 private:
  std::mutex mutex_;
  std::vector<float> floats_;
};

/// Where a sequence's rows are; refilled before each run of a graph.
struct KvState {
  std::vector<KvSpan> spans;       ///< in order; they hold n_past tokens and the rows of the pass
  std::byte* pass = nullptr;       ///< record of the pass's first token, where it is written; part of the last span
  std::size_t token_stride = 0;    ///< bytes
  ggml_type type = GGML_TYPE_F16;  ///< GGML_TYPE_F16 or GGML_TYPE_Q8_0
  std::uint32_t n_past = 0;        ///< tokens before the pass
  WorkCounter work;
  PartialResults partials;
};

/// One layer's attention; lives as long as the graph that holds it.
struct AttentionNode {
  KvState* state = nullptr;
  std::size_t layer_offset = 0;  ///< bytes from a token's record to its K row; the V row follows at row_bytes
  std::size_t row_bytes = 0;     ///< of a K row (n_head_kv * head_dim elements), V alike
  std::uint32_t n_head = 0;
  std::uint32_t n_head_kv = 0;
  std::uint32_t head_dim = 0;        ///< a multiple of 32, at most 256
  std::uint32_t sliding_window = 0;  ///< a query sees this many tokens, its own included; 0: all
  float scale = 1.0F;                ///< of q.k
  float softcap = 0.0F;              ///< 0: none
};

/// Writes k and v (f32 [head_dim, n_head_kv, n], heads of a token one after another) as rows of tokens n_past .. n_past
/// + n - 1. The result is a tensor to pass to `attention`, which orders the two.
ggml_tensor* store_kv(ggml_context* context, ggml_tensor* k, ggml_tensor* v, AttentionNode* node);

/// Causal attention of q (f32 [head_dim, n_head, n], contiguous, rope applied) over the stored rows:
/// f32 [head_dim * n_head, n]. `after` is store_kv's result. Does not depend on the number of
/// threads, nor on how the tokens are cut into spans.
ggml_tensor* attention(ggml_context* context, ggml_tensor* q, ggml_tensor* after, AttentionNode* node);

}  // namespace driftwood::cpu
