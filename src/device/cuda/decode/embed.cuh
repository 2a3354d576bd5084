// The first kernel of a step: its input comes over the bus, and each token's embedding becomes the residual stream.
#pragma once

#include "device/cuda/decode/epilogues.cuh"
#include "device/cuda/decode/formats.cuh"

namespace driftwood::cuda {

inline constexpr int kEmbedThreads = 256;

/// One block for each row.
template <PackedFormat format>
__global__ void __launch_bounds__(kEmbedThreads) embed(StepModel model, StepMemory memory) {
  let_next_begin();
  wait_for_previous();
  const int row = blockIdx.x;
  const StepRow input = memory.input[row];
  if (threadIdx.x == 0) memory.rows[row] = input;
  const StoreResidual store{memory, model.first_norm, model.n_embd, padded(model.n_embd)};
  // Whole warps, so that eight threads share a tile.
  const int pairs = (model.n_embd / 2 + kWarp - 1) / kWarp * kWarp;
  for (int pair = threadIdx.x; pair < pairs; pair += kEmbedThreads) {
    const bool exists = 2 * pair < model.n_embd;
    float two[2] = {};
    if (exists) {
      for (int i = 0; i < 2; ++i) {
        two[i] = packed_number<format>(model.embedding, input.token, 2 * pair + i) * model.embedding_scale;
      }
    }
    store(pair, row, exists, two[0], two[1]);
  }
}

}  // namespace driftwood::cuda
