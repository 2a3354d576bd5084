// The end of a pass that serves several requests: each row of logits goes to where its request wants it.
//
// An operator on host threads, which share the rows. A node is refilled before each run.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <span>
#include <vector>

#include "device/cpu/work_counter.hpp"
#include "llm/forward_request.hpp"

namespace driftwood {

/// Where a row of logits goes: as it is, or the largest of it.
struct RowDestination {
  float* row = nullptr;
  std::span<TokenLogit> best;  ///< where `row` is null
};

struct DeliveryNode {
  explicit DeliveryNode(Crew* crew) noexcept : work(crew) {}

  std::vector<RowDestination> rows;  ///< of the pass's logits
  cpu::WorkCounter work;
};

/// Writes the rows of `logits`, f32 [n_vocab, rows], to the node's destinations. The result orders it in the graph.
ggml_tensor* deliver(ggml_context* context, ggml_tensor* logits, DeliveryNode* node);

}  // namespace driftwood
