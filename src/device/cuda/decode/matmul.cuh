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

/// 1 / root mean square of row `row`, by a warp.
__device__ inline float inverse_norm(const MatmulArguments& arguments, int row, int lane) {
  float sum = 0;
  for (int i = lane; i < arguments.n_squares; i += kWarp) {
    sum += arguments.squares[static_cast<std::size_t>(row) * arguments.n_squares + i];
  }
  for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
  return rsqrtf(sum / static_cast<float>(arguments.n_columns) + arguments.epsilon);
}

/// `n8`: eighths of rows, rounded up. The epilogue is called by whole warps: (pair of the matrix's rows, row of
/// activations, whether that one exists, the two sums).
template <PackedFormat format, int n8, class Epilogue>
__global__ void __launch_bounds__(kMatmulThreads) matmul(MatmulArguments arguments, Epilogue epilogue) {
  constexpr int kColumns = 8 * n8;
  __shared__ float sums[kMatmulWarps][kTileRows][kColumns + 1];
  __shared__ float scales[kColumns];
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const PackedTiles& matrix = arguments.matrix;
  const std::size_t tile_bytes = matrix.n_groups * group_bytes(format);

  let_next_begin();
  if (threadIdx.x == 0) {
    std::uint32_t fetched = 0;
    for (int tile = blockIdx.x; tile < matrix.n_tiles && fetched + tile_bytes <= kMostFetchedAhead;
         tile += gridDim.x, fetched += tile_bytes) {
      fetch_ahead(matrix.bytes + tile * tile_bytes, static_cast<std::uint32_t>(tile_bytes));
    }
  }
  wait_for_previous();

  for (int row = warp; row < kColumns; row += kMatmulWarps) {
    float scale = 1;
    if (arguments.squares != nullptr && row < arguments.n_rows) scale = inverse_norm(arguments, row, lane);
    if (lane == 0) scales[row] = scale;
  }

  for (int tile = blockIdx.x; tile < matrix.n_tiles; tile += gridDim.x) {
    float c[n8][4] = {};
    for (int k = warp; k < matrix.n_groups; k += kMatmulWarps) {
      Group<format> group;
      group.load(matrix.bytes + tile * tile_bytes + k * group_bytes(format), lane);
      DW_UNROLL
      for (int block = 0; block < kGroupColumns / kBlockColumns; ++block) {
        uint4 b[n8];
        DW_UNROLL
        for (int n = 0; n < n8; ++n) {
          const int row = n * 8 + lane / 4;
          b[n] = make_uint4(0, 0, 0, 0);
          if (row < arguments.n_rows) {
            b[n] = *reinterpret_cast<const uint4*>(arguments.activations +
                                                   static_cast<std::size_t>(row) * arguments.stride +
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
