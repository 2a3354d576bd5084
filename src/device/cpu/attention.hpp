// Attention over KV rows where they lie, on host threads, as a ggml operator.
//
// A pass computes rows of one or many sequences. The KV rows of each come as a list
// of spans (a shared prefix read through its Image, then the actor's own tail), each
// row strided by token. A graph holds AttentionNodes (constant) that point at one
// KvState, which is refilled and planned before each run: so a graph depends neither
// on how many tokens came before nor on whose they are.
// Each K or V row is read once for all query heads of its group, and where sequences
// begin with the same span, once for all of them.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/crew.hpp"
#include "device/cpu/attention_plan.hpp"

namespace driftwood::cpu {

/// Where the sequences of a pass are, whose rows follow one another in this order.
class KvState {
 public:
  /// `crew` helps in graphs that one thread runs; may be null. Borrowed.
  explicit KvState(Crew* crew = nullptr) noexcept;
  ~KvState();

  /// To be filled before each run, then plan().
  std::vector<KvSequence> sequences;
  /// Shares out the work for `threads` threads, for each of the sliding windows (0: none) that layers have.
  void plan(const AttentionHeads& heads, std::span<const std::uint32_t> windows, std::uint32_t threads);

  struct Work;
  /// The plan for a window, and what its threads share.
  Work& work(std::uint32_t window);

 private:
  Crew* crew_;
  std::vector<std::unique_ptr<Work>> works_;
};

/// One layer's attention; lives as long as the graph that holds it.
struct AttentionNode {
  KvState* state = nullptr;
  std::uint32_t layer = 0;  ///< a record holds 2 * layer rows before its K row; the V row follows
  AttentionHeads heads;
  std::uint32_t sliding_window = 0;  ///< a query sees this many tokens, its own included; 0: all
  float scale = 1.0F;                ///< of q.k
  float softcap = 0.0F;              ///< 0: none
};

/// Writes k and v (f32 [head_dim, n_head_kv, n], heads of a token one after another) as rows of the pass's tokens.
/// The result is a tensor to pass to `attention`, which orders the two.
ggml_tensor* store_kv(ggml_context* context, ggml_tensor* k, ggml_tensor* v, AttentionNode* node);

/// Causal attention of q (f32 [head_dim, n_head, n], contiguous, rope applied) over the stored rows:
/// f32 [head_dim * n_head, n]. `after` is store_kv's result. A row's bits depend on its sequence up to it alone: not on
/// the number of threads, on how the tokens are cut into spans or passes, nor on the other rows of the pass.
ggml_tensor* attention(ggml_context* context, ggml_tensor* q, ggml_tensor* after, AttentionNode* node);

}  // namespace driftwood::cpu
