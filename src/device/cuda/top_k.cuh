// The largest logits of each row, in order: highest first, equal ones by the lower token; what is no number counts as
// the lowest. The result is what select_top_k of src/llm gives on the host.
//
// First each block sorts 1,024 logits of a row and keeps the best; then a warp for each
// row takes the best of the lists' heads, one after another.
#pragma once

#include "device/cuda/decode/intrinsics.cuh"
#include "device/cuda/top_k.hpp"

namespace driftwood::cuda {

inline constexpr int kTopKThreads = kTopKSlice / 2;

__device__ inline TopKKey top_k_key(float logit, std::uint32_t token) {
  if (!(logit == logit)) logit = -INFINITY;
  if (logit == 0) logit = 0;  // not the negative zero
  std::uint32_t bits = __float_as_uint(logit);
  bits = bits & 0x80000000U ? ~bits : bits | 0x80000000U;
  return TopKKey{bits} << 32 | (0xffffffffU - token);
}

__device__ inline TopKEntry top_k_entry(TopKKey key) {
  std::uint32_t bits = static_cast<std::uint32_t>(key >> 32);
  bits = bits & 0x80000000U ? bits & 0x7fffffffU : ~bits;
  return {static_cast<std::int32_t>(0xffffffffU - static_cast<std::uint32_t>(key)), __uint_as_float(bits)};
}

/// Grid: slices, rows. `keys`: [row][slice][k], in falling order; 0 where a slice has fewer.
__global__ void __launch_bounds__(kTopKThreads) top_k_slices(const float* logits, int n_vocab, int k, TopKKey* keys) {
  __shared__ TopKKey slice[kTopKSlice];
  let_next_begin();
  wait_for_previous();
  const float* row = logits + static_cast<std::size_t>(blockIdx.y) * n_vocab;
  for (int i = threadIdx.x; i < kTopKSlice; i += kTopKThreads) {
    const int token = blockIdx.x * kTopKSlice + i;
    slice[i] = token < n_vocab ? top_k_key(row[token], token) : 0;
  }
  __syncthreads();
  // A bitonic sort, falling.
  for (int run = 2; run <= kTopKSlice; run *= 2) {
    for (int distance = run / 2; distance > 0; distance /= 2) {
      const int low =
          static_cast<int>(threadIdx.x) / distance * distance * 2 + static_cast<int>(threadIdx.x) % distance;
      const int high = low + distance;
      const TopKKey a = slice[low];
      const TopKKey b = slice[high];
      const bool falling = (low & run) == 0;
      if (falling ? a < b : a > b) {
        slice[low] = b;
        slice[high] = a;
      }
      __syncthreads();
    }
  }
  TopKKey* best = keys + (static_cast<std::size_t>(blockIdx.y) * gridDim.x + blockIdx.x) * k;
  for (int i = threadIdx.x; i < k; i += kTopKThreads) best[i] = slice[i];
}

inline constexpr int kTopKLists = 16;  ///< of one thread: 512 lists, 524,288 tokens in all

/// Grid: rows, of one warp each. `best`: [row][k].
__global__ void __launch_bounds__(kWarp) top_k_merge(const TopKKey* keys, int n_slices, int k, TopKEntry* best) {
  let_next_begin();
  wait_for_previous();
  const int lane = threadIdx.x;
  const TopKKey* lists = keys + static_cast<std::size_t>(blockIdx.x) * n_slices * k;
  TopKKey heads[kTopKLists];
  int taken[kTopKLists];
  DW_UNROLL
  for (int i = 0; i < kTopKLists; ++i) {
    const int list = i * kWarp + lane;
    heads[i] = list < n_slices ? lists[static_cast<std::size_t>(list) * k] : 0;
    taken[i] = 0;
  }
  for (int place = 0; place < k; ++place) {
    TopKKey most = 0;
    DW_UNROLL
    for (int i = 0; i < kTopKLists; ++i) most = heads[i] > most ? heads[i] : most;
    const TopKKey mine = most;
    for (int step = kWarp / 2; step > 0; step /= 2) {
      const TopKKey other = __shfl_xor_sync(kAllLanes, most, step);
      most = other > most ? other : most;
    }
    if (lane == 0) best[static_cast<std::size_t>(blockIdx.x) * k + place] = top_k_entry(most);
    if (mine != most) continue;
    DW_UNROLL
    for (int i = 0; i < kTopKLists; ++i) {
      if (heads[i] != most) continue;
      ++taken[i];
      heads[i] = taken[i] < k ? lists[static_cast<std::size_t>(i * kWarp + lane) * k + taken[i]] : 0;
    }
  }
}

}  // namespace driftwood::cuda
