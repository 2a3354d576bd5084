// Products of packed weights with up to 64 rows of activations.
//
// A block takes tiles of 16 rows of the matrix in turn; its 8 warps share out the
// columns, and their sums are added in order. A row's result does not depend on how
// many rows there are. What becomes of the sums is the epilogue's (epilogues.cuh).
#pragma once

#include "device/cuda/decode/formats.cuh"

namespace driftwood::cuda {

inline constexpr int kMatmulWarps = 8;
inline constexpr int kMatmulThreads = kMatmulWarps * kWarp;
inline constexpr std::uint32_t kMostFetchedAhead = 64 * 1024;  ///< bytes by a block

struct MatmulArguments {
  PackedTiles matrix;
  const std::uint16_t* activations = nullptr;  ///< [row][columns], reordered: activation_place()
  int stride = 0;                              ///< elements from row to row
  int n_rows = 0;
  const float* squares = nullptr;  ///< [row][n_squares]: results are divided by their root mean square; null: not
  int n_squares = 0;
  int n_columns = 0;  ///< that the mean is over
  float epsilon = 0;
};

/// 1 / root mean square of a row, by a warp: asked for early, and used late.
class InverseNorm {
 public:
  __device__ InverseNorm(const MatmulArguments& arguments, int row, int lane)
      : exists_(arguments.squares != nullptr && row < arguments.n_rows) {
    if (!exists_) return;
    const float* squares = arguments.squares + static_cast<std::size_t>(row) * arguments.n_squares;
    DW_UNROLL
    for (int i = 0; i < kAtOnce; ++i) {
      const int at = i * kWarp + lane;
      parts_[i] = at < arguments.n_squares ? squares[at] : 0;
    }
    for (int at = kAtOnce * kWarp + lane; at < arguments.n_squares; at += kWarp) parts_[0] += squares[at];
  }

  __device__ float value(const MatmulArguments& arguments) const {
    if (!exists_) return 1;
    float sum = 0;
    DW_UNROLL
    for (int i = 0; i < kAtOnce; ++i) sum += parts_[i];
    for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
    return rsqrtf(sum / static_cast<float>(arguments.n_columns) + arguments.epsilon);
  }

 private:
  static constexpr int kAtOnce = 4;
  bool exists_;
  float parts_[kAtOnce];
};

/// Adds a group's products: `k` says which columns.
template <PackedFormat format, int n8>
__device__ inline void multiply_group(const Group<format>& group, const MatmulArguments& arguments, int k, int lane,
                                      float (&c)[n8][4]) {
  DW_UNROLL
  for (int block = 0; block < kGroupColumns / kBlockColumns; ++block) {
    uint4 b[n8];
    DW_UNROLL
    for (int n = 0; n < n8; ++n) {
      const int row = n * 8 + lane / 4;
      b[n] = make_uint4(0, 0, 0, 0);
      if (row < arguments.n_rows) {
        b[n] =
            *reinterpret_cast<const uint4*>(arguments.activations + static_cast<std::size_t>(row) * arguments.stride +
                                            k * kGroupColumns + block * kBlockColumns + lane % 4 * 8);
      }
    }
    Half2 a[4];
    group.fragment(block * 2, a);
    DW_UNROLL
    for (int n = 0; n < n8; ++n) multiply_add(c[n], a, b[n].x, b[n].y);
    group.fragment(block * 2 + 1, a);
    DW_UNROLL
    for (int n = 0; n < n8; ++n) multiply_add(c[n], a, b[n].z, b[n].w);
  }
}

/// `n8`: eighths of rows, rounded up. `ahead`: groups that a warp has on their way at once; the next ones are asked for
/// before the sums of those at hand are put together, the first ones before the kernel before this one has ended. The
/// epilogue is called by whole warps: (pair of the matrix's rows, row of activations, whether that one exists, the two
/// sums).
template <PackedFormat format, int n8, int ahead, class Epilogue>
__global__ void __launch_bounds__(kMatmulThreads) matmul(MatmulArguments arguments, Epilogue epilogue) {
  constexpr int kColumns = 8 * n8;
  __shared__ float sums[kMatmulWarps][kTileRows][kColumns + 1];
  __shared__ float scales[kColumns];
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const PackedTiles& matrix = arguments.matrix;
  const std::size_t tile_bytes = matrix.n_groups * group_bytes(format);

  Group<format> groups[ahead];
  const auto ask_for = [&](int tile, int first) {
    DW_UNROLL
    for (int i = 0; i < ahead; ++i) {
      const int k = first + i * kMatmulWarps;
      if (tile < matrix.n_tiles && k < matrix.n_groups) {
        groups[i].load(matrix.bytes + tile * tile_bytes + k * group_bytes(format), lane);
      }
    }
  };

  let_next_begin();
  ask_for(blockIdx.x, warp);
  if (threadIdx.x == 0) {
    std::uint32_t fetched = 0;
    for (int tile = blockIdx.x; tile < matrix.n_tiles && fetched + tile_bytes <= kMostFetchedAhead;
         tile += gridDim.x, fetched += tile_bytes) {
      fetch_ahead(matrix.bytes + tile * tile_bytes, static_cast<std::uint32_t>(tile_bytes));
    }
  }
  wait_for_previous();

  const InverseNorm norm(arguments, warp, lane);
  bool has_scales = false;
  for (int tile = blockIdx.x; tile < matrix.n_tiles; tile += gridDim.x) {
    float c[n8][4] = {};
    for (int first = warp; first < matrix.n_groups; first += kMatmulWarps * ahead) {
      DW_UNROLL
      for (int i = 0; i < ahead; ++i) {
        const int k = first + i * kMatmulWarps;
        if (k < matrix.n_groups) multiply_group<format, n8>(groups[i], arguments, k, lane, c);
      }
      const int next = first + kMatmulWarps * ahead;
      if (next < matrix.n_groups) {
        ask_for(tile, next);
      } else {
        ask_for(tile + gridDim.x, warp);
      }
    }
    if (!has_scales) {
      const float scale = norm.value(arguments);
      if (lane == 0) scales[warp] = scale;
      for (int row = warp + kMatmulWarps; row < kColumns; row += kMatmulWarps) {
        const float other = InverseNorm(arguments, row, lane).value(arguments);
        if (lane == 0) scales[row] = other;
      }
      has_scales = true;
    }
    DW_UNROLL
    for (int n = 0; n < n8; ++n) {
      for (int i = 0; i < 4; ++i) sums[warp][lane / 4 + i / 2 * 8][n * 8 + lane % 4 * 2 + i % 2] = c[n][i];
    }
    __syncthreads();
    for (int item = threadIdx.x; item < kColumns * 8; item += kMatmulThreads) {
      const int pair = item % 8;
      const int row = item / 8;
      float first = 0;
      float second = 0;
      DW_UNROLL
      for (int w = 0; w < kMatmulWarps; ++w) {
        first += sums[w][2 * pair][row];
        second += sums[w][2 * pair + 1][row];
      }
      epilogue(tile * 8 + pair, row, row < arguments.n_rows, first * scales[row], second * scales[row]);
    }
    __syncthreads();
  }
}

}  // namespace driftwood::cuda
