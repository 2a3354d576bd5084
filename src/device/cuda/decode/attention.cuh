// One token's attention over its sequence's KV records, f16, where they lie.
//
// A block takes 128 tokens of one KV head and reads each K and V row once for all
// query heads of the group. Chunks lie at fixed places; the block that comes last merges
// them in order. So a result depends neither on the batch nor on which block is last.
#pragma once

#include "device/cuda/decode/intrinsics.cuh"
#include "device/cuda/decode/step_data.hpp"

namespace driftwood::cuda {

inline constexpr int kAttentionWarps = 8;
inline constexpr int kAttentionThreads = kAttentionWarps * kWarp;
inline constexpr float kHidden = -1e30F;  ///< a score below any other

struct AttentionArguments {
  StepModel model;
  StepMemory memory;
  std::uint32_t record_offset = 0;
  int max_chunks = 0;  ///< room in memory.partial
};

/// Floats of one chunk's partial result: sums of all heads' dims, then maxima, then sums of weights.
DW_HOST_DEVICE constexpr int partial_floats(int group, int head_dim) { return group * (head_dim + 2); }

__device__ inline void unpack(const uint4& halves, float (&values)[8]) {
  const std::uint32_t words[4] = {halves.x, halves.y, halves.z, halves.w};
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = to_float(static_cast<std::uint16_t>(words[i]));
    values[2 * i + 1] = to_float(static_cast<std::uint16_t>(words[i] >> 16));
  }
}

/// Partial results of `n` parts into one, for all heads and dims: `part(i)` gives where part i lies. `put` gets
/// (head, dim, the sum, the maximum, the weights' sum).
template <int group, int head_dim, class Part, class Put>
__device__ inline void merge_parts(int n, const Part& part, const Put& put) {
  for (int element = threadIdx.x; element < group * head_dim; element += kAttentionThreads) {
    const int head = element / head_dim;
    float most = kHidden;
    DW_UNROLL_8
    for (int i = 0; i < n; ++i) most = fmaxf(most, part(i)[group * head_dim + head]);
    float sum = 0;
    float weights = 0;
    DW_UNROLL_8
    for (int i = 0; i < n; ++i) {
      const float* p = part(i);
      const float factor = expf(p[group * head_dim + head] - most);
      sum += factor * p[element];
      weights += factor * p[group * (head_dim + 1) + head];
    }
    put(head, element % head_dim, sum, most, weights);
  }
}

/// Grid: chunks, KV heads, rows. `group`: query heads of a KV head.
template <int group, int head_dim>
__global__ void __launch_bounds__(kAttentionThreads) attention(AttentionArguments arguments) {
  constexpr int kLanes = head_dim / 8;  // that share a token's row
  constexpr int kTokens = kWarp / kLanes;
  constexpr int kRounds = kAttentionChunk / kAttentionWarps / kTokens;
  constexpr int kPartial = partial_floats(group, head_dim);
  __shared__ float parts[kAttentionWarps][kPartial];
  __shared__ bool is_last;
  const StepModel& model = arguments.model;
  const StepMemory& memory = arguments.memory;
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int kv_head = blockIdx.y;
  const int row = blockIdx.z;

  let_next_begin();
  wait_for_previous();
  const StepRow sequence = memory.rows[row];
  const int n_kv = sequence.n_past + 1;
  const int n_chunks = (n_kv + kAttentionChunk - 1) / kAttentionChunk;
  if (static_cast<int>(blockIdx.x) >= n_chunks) return;

  uint4 k[kRounds];
  uint4 v[kRounds];
  const int first = blockIdx.x * kAttentionChunk + warp * kRounds * kTokens + lane / kLanes;
  const std::uint8_t* head_rows =
      sequence.records + arguments.record_offset + (kv_head * head_dim + lane % kLanes * 8) * 2;
  DW_UNROLL
  for (int i = 0; i < kRounds; ++i) {
    const int token = first + i * kTokens;
    k[i] = make_uint4(0, 0, 0, 0);
    v[i] = make_uint4(0, 0, 0, 0);
    if (token < n_kv) {
      const std::uint8_t* at = head_rows + static_cast<std::size_t>(token) * model.token_stride;
      k[i] = *reinterpret_cast<const uint4*>(at);
      v[i] = *reinterpret_cast<const uint4*>(at + model.row_bytes);
    }
  }
  for (int head = 0; head < group; ++head) {
    const float* q_row = memory.q + (static_cast<std::size_t>(row) * model.n_head + kv_head * group + head) * head_dim;
    float q[8];
    for (int i = 0; i < 8; ++i) q[i] = q_row[lane % kLanes * 8 + i] * model.attention_scale;
    float scores[kRounds];
    float most = kHidden;
    DW_UNROLL
    for (int i = 0; i < kRounds; ++i) {
      float values[8];
      unpack(k[i], values);
      float dot = 0;
      for (int j = 0; j < 8; ++j) dot += q[j] * values[j];
      for (int step = kLanes / 2; step > 0; step /= 2) dot += __shfl_xor_sync(kAllLanes, dot, step);
      scores[i] = first + i * kTokens < n_kv ? dot : kHidden;
      most = fmaxf(most, scores[i]);
    }
    for (int step = kLanes; step < kWarp; step *= 2) most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, step));
    float sum[8] = {};
    float weights = 0;
    DW_UNROLL
    for (int i = 0; i < kRounds; ++i) {
      const float weight = scores[i] == kHidden ? 0 : expf(scores[i] - most);
      weights += weight;
      float values[8];
      unpack(v[i], values);
      for (int j = 0; j < 8; ++j) sum[j] += weight * values[j];
    }
    for (int step = kLanes; step < kWarp; step *= 2) {
      weights += __shfl_xor_sync(kAllLanes, weights, step);
      for (int j = 0; j < 8; ++j) sum[j] += __shfl_xor_sync(kAllLanes, sum[j], step);
    }
    if (lane < kLanes) {
      for (int j = 0; j < 8; ++j) parts[warp][head * head_dim + lane * 8 + j] = sum[j];
    }
    if (lane == 0) {
      parts[warp][group * head_dim + head] = most;
      parts[warp][group * (head_dim + 1) + head] = weights;
    }
  }
  __syncthreads();

  const std::size_t place = static_cast<std::size_t>(row) * model.n_head_kv + kv_head;
  std::uint16_t* attended = memory.attended + static_cast<std::size_t>(row) * padded(model.n_head * head_dim);
  const auto finish = [&](int head, int dim, float sum, float, float weights) {
    attended[activation_place((kv_head * group + head) * head_dim + dim)] = to_half(sum / weights);
  };
  const auto warp_part = [&](int i) { return parts[i]; };
  if (n_chunks == 1) {
    merge_parts<group, head_dim>(kAttentionWarps, warp_part, finish);
    return;
  }
  float* chunks = memory.partial + place * arguments.max_chunks * kPartial;
  float* mine = chunks + static_cast<std::size_t>(blockIdx.x) * kPartial;
  merge_parts<group, head_dim>(kAttentionWarps, warp_part,
                               [&](int head, int dim, float sum, float most, float weights) {
                                 mine[head * head_dim + dim] = sum;
                                 if (dim == 0) {
                                   mine[group * head_dim + head] = most;
                                   mine[group * (head_dim + 1) + head] = weights;
                                 }
                               });
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    is_last = atomicAdd(memory.arrived + place, 1U) == static_cast<unsigned>(n_chunks - 1);
    if (is_last) memory.arrived[place] = 0;
  }
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  const auto chunk_part = [&](int i) {
    return const_cast<const float*>(chunks) + static_cast<std::size_t>(i) * kPartial;
  };
  merge_parts<group, head_dim>(n_chunks, chunk_part, finish);
}

}  // namespace driftwood::cuda
