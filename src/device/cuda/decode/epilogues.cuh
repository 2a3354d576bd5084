// What becomes of a product's sums. Each is called by whole warps, eight threads for a
// tile's eight pairs of rows: (pair, row, whether the row exists, the two sums).
#pragma once

#include "device/cuda/decode/intrinsics.cuh"
#include "device/cuda/decode/step_data.hpp"

namespace driftwood::cuda {

/// Puts two elements of the residual stream in their place, times the next norm's weight beside them, and the sum of
/// the tile's squares.
struct StoreResidual {
  StepMemory memory;
  const float* norm = nullptr;
  int n_embd = 0;
  int stride = 0;  ///< of the normed

  __device__ void operator()(int pair, int row, bool exists, float first, float second) const {
    float squares = exists ? first * first + second * second : 0;
    for (int step = 4; step > 0; step /= 2) squares += __shfl_xor_sync(kAllLanes, squares, step);
    if (!exists) return;
    const int column = 2 * pair;
    float* residual = memory.residual + static_cast<std::size_t>(row) * n_embd + column;
    residual[0] = first;
    residual[1] = second;
    const std::uint32_t halves = to_half(first * norm[column]) | std::uint32_t{to_half(second * norm[column + 1])}
                                                                     << 16;
    *reinterpret_cast<std::uint32_t*>(memory.normed + static_cast<std::size_t>(row) * stride +
                                      activation_place(column)) = halves;
    if (pair % 8 == 0) memory.squares[static_cast<std::size_t>(row) * (n_embd / kTileRows) + pair / 8] = squares;
  }
};

/// Adds to the residual stream.
struct AddResidual {
  StoreResidual store;

  __device__ void operator()(int pair, int row, bool exists, float first, float second) const {
    if (exists) {
      const float* residual = store.memory.residual + static_cast<std::size_t>(row) * store.n_embd + 2 * pair;
      first += residual[0];
      second += residual[1];
    }
    store(pair, row, exists, first, second);
  }
};

/// silu(gate) * up.
struct StoreGated {
  std::uint16_t* gated = nullptr;
  int stride = 0;

  __device__ void operator()(int pair, int row, bool exists, float gate, float up) const {
    if (!exists) return;
    gated[static_cast<std::size_t>(row) * stride + activation_place(pair)] = to_half(gate / (1 + expf(-gate)) * up);
  }
};

struct StoreLogits {
  float* logits = nullptr;
  int n_vocab = 0;

  __device__ void operator()(int pair, int row, bool exists, float first, float second) const {
    if (!exists) return;
    float* at = logits + static_cast<std::size_t>(row) * n_vocab;
    if (2 * pair < n_vocab) at[2 * pair] = first;
    if (2 * pair + 1 < n_vocab) at[2 * pair + 1] = second;
  }
};

/// Turns q and k by their position; q goes to scratch memory, k and v to their row of the KV record and its copy.
struct StoreHeads {
  StepModel model;
  StepMemory memory;
  std::uint32_t record_offset = 0;

  __device__ void operator()(int pair, int row, bool exists, float first, float second) const {
    if (!exists) return;
    const int q_rows = model.n_head * model.head_dim;
    const int kv_rows = model.n_head_kv * model.head_dim;
    int at = 2 * pair;  // of the packed rows
    const bool is_q = at < q_rows;
    const bool is_v = at >= q_rows + kv_rows;
    at -= is_q ? 0 : is_v ? q_rows + kv_rows : q_rows;
    int dim = at % model.head_dim;
    int other = dim + 1;
    const StepRow& sequence = memory.rows[row];
    if (!is_v && dim < model.rope_dims) {
      const int i = dim / 2;
      if (model.rope_neox) {
        dim = i;
        other = i + model.rope_dims / 2;
      }
      const float angle = static_cast<float>(sequence.n_past) * model.rope_scale * model.rope_frequencies[i];
      const float sine = sinf(angle) * model.rope_magnitude;
      const float cosine = cosf(angle) * model.rope_magnitude;
      const float turned = first * cosine - second * sine;
      second = first * sine + second * cosine;
      first = turned;
    }
    const int head = at / model.head_dim * model.head_dim;
    if (is_q) {
      float* q = memory.q + static_cast<std::size_t>(row) * q_rows + head;
      q[dim] = first;
      q[other] = second;
      return;
    }
    const std::uint32_t offset = record_offset + (is_v ? model.row_bytes : 0);
    store(sequence.records + static_cast<std::size_t>(sequence.n_past) * model.token_stride + offset, head, dim, other,
          first, second);
    if (sequence.copy != nullptr) store(sequence.copy + offset, head, dim, other, first, second);
  }

 private:
  __device__ static void store(std::uint8_t* bytes, int head, int dim, int other, float first, float second) {
    auto* halves = reinterpret_cast<std::uint16_t*>(bytes) + head;
    if (other == dim + 1) {
      *reinterpret_cast<std::uint32_t*>(halves + dim) = to_half(first) | std::uint32_t{to_half(second)} << 16;
    } else {
      halves[dim] = to_half(first);
      halves[other] = to_half(second);
    }
  }
};

}  // namespace driftwood::cuda
