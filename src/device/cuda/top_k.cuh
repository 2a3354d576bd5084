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

/// Sorts keys of the block's shared memory, falling. `n`: a power of two; all `threads` of the block call.
__device__ inline void sort_falling(TopKKey* keys, int n, int threads) {
  for (int run = 2; run <= n; run *= 2) {
    for (int distance = run / 2; distance > 0; distance /= 2) {
      for (int i = threadIdx.x; i < n / 2; i += threads) {
        const int low = i / distance * distance * 2 + i % distance;
        const int high = low + distance;
        const TopKKey a = keys[low];
        const TopKKey b = keys[high];
        const bool falling = (low & run) == 0;
        if (falling ? a < b : a > b) {
          keys[low] = b;
          keys[high] = a;
        }
      }
      __syncthreads();
    }
  }
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
  sort_falling(slice, kTopKSlice, kTopKThreads);
  TopKKey* best = keys + (static_cast<std::size_t>(blockIdx.y) * gridDim.x + blockIdx.x) * k;
  for (int i = threadIdx.x; i < k; i += kTopKThreads) best[i] = slice[i];
}

// For few of many: most logits are passed over. The k-th best of what each thread finds best is a bound that at least k
// logits reach, and only k threads have any that do.

inline constexpr int kTopKEach = 16;  ///< logits of a thread
inline constexpr int kTopKWide = kTopKThreads * kTopKEach;
inline constexpr int kMostFew = 64;  ///< that this way finds: k threads' logits fit kTopKCandidates
inline constexpr int kTopKCandidates = kMostFew * kTopKEach;

/// Grid: wide slices, rows. As top_k_slices; `k` at most kMostFew.
__global__ void __launch_bounds__(kTopKThreads) top_k_wide(const float* logits, int n_vocab, int k, TopKKey* keys) {
  __shared__ TopKKey candidates[kTopKCandidates];
  __shared__ unsigned n_found;
  let_next_begin();
  wait_for_previous();
  const float* row = logits + static_cast<std::size_t>(blockIdx.y) * n_vocab;
  TopKKey own[kTopKEach];
  TopKKey most = 0;
  DW_UNROLL
  for (int i = 0; i < kTopKEach; ++i) {
    const int token = blockIdx.x * kTopKWide + i * kTopKThreads + threadIdx.x;
    own[i] = token < n_vocab ? top_k_key(row[token], token) : 0;
    most = own[i] > most ? own[i] : most;
  }
  candidates[threadIdx.x] = most;
  if (threadIdx.x == 0) n_found = 0;
  __syncthreads();
  sort_falling(candidates, kTopKThreads, kTopKThreads);
  const TopKKey bound = candidates[k - 1];
  __syncthreads();
  DW_UNROLL
  for (int i = 0; i < kTopKEach; ++i) {
    if (own[i] != 0 && own[i] >= bound) candidates[atomicAdd(&n_found, 1U)] = own[i];
  }
  __syncthreads();
  const int found = static_cast<int>(n_found);
  int padded_to = kMostFew;
  while (padded_to < found) padded_to *= 2;
  for (int i = found + threadIdx.x; i < padded_to; i += kTopKThreads) candidates[i] = 0;
  __syncthreads();
  sort_falling(candidates, padded_to, kTopKThreads);
  TopKKey* best = keys + (static_cast<std::size_t>(blockIdx.y) * gridDim.x + blockIdx.x) * k;
  for (int i = threadIdx.x; i < k; i += kTopKThreads) best[i] = candidates[i];
}

inline constexpr int kTopKJoined = 2048;  ///< keys of one row's lists that a block sorts

/// Grid: rows. The best of n keys, the lists of one row, at most kTopKJoined. `best`: [row][k].
__global__ void __launch_bounds__(kTopKThreads) top_k_join(const TopKKey* keys, int n, int k, TopKEntry* best) {
  __shared__ TopKKey joined[kTopKJoined];
  let_next_begin();
  wait_for_previous();
  int padded_to = 2;
  while (padded_to < n) padded_to *= 2;
  for (int i = threadIdx.x; i < padded_to; i += kTopKThreads) {
    joined[i] = i < n ? keys[static_cast<std::size_t>(blockIdx.x) * n + i] : 0;
  }
  __syncthreads();
  sort_falling(joined, padded_to, kTopKThreads);
  for (int i = threadIdx.x; i < k; i += kTopKThreads) {
    best[static_cast<std::size_t>(blockIdx.x) * k + i] = top_k_entry(joined[i]);
  }
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
