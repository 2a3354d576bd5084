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

/// The 8 activations of row `row` that thread 4g + t needs for a block of 32 columns; zeros where there is no such row.
__device__ inline uint4 activations_of(const MatmulArguments& arguments, int row, int k, int block, int lane) {
  if (row >= arguments.n_rows || k >= arguments.matrix.n_groups) return make_uint4(0, 0, 0, 0);
  return *reinterpret_cast<const uint4*>(arguments.activations + static_cast<std::size_t>(row) * arguments.stride +
                                         k * kGroupColumns + block * kBlockColumns + lane % 4 * 8);
}

/// Adds the products of a block of 32 columns.
template <PackedFormat format, int n8>
__device__ inline void multiply_block(const Group<format>& group, int block, const uint4 (&b)[n8], float (&c)[n8][4]) {
  Half2 a[4];
  group.fragment(block * 2, a);
  DW_UNROLL
  for (int n = 0; n < n8; ++n) multiply_add(c[n], a, b[n].x, b[n].y);
  group.fragment(block * 2 + 1, a);
  DW_UNROLL
  for (int n = 0; n < n8; ++n) multiply_add(c[n], a, b[n].z, b[n].w);
}

/// Activations of a few rows for a few groups, asked for at once.
template <int n_groups>
struct HeldActivations {
  uint4 b[n_groups][kGroupColumns / kBlockColumns];

  __device__ void load(const MatmulArguments& arguments, int first, int lane) {
    DW_UNROLL
    for (int i = 0; i < n_groups; ++i) {
      DW_UNROLL
      for (int block = 0; block < kGroupColumns / kBlockColumns; ++block) {
        b[i][block] = activations_of(arguments, lane / 4, first + i * kMatmulWarps, block, lane);
      }
    }
  }
};

/// `n8`: eighths of rows, rounded up. `ahead`: groups of a tile that a warp has on their way at once; the next ones are
/// asked for before the sums of those at hand are put together, the first ones before the kernel before this one has
/// ended. `tiles`: that a block takes together, so that they share the reading of activations. The epilogue is called
/// by whole warps: (pair of the matrix's rows, row of activations, whether that one exists, the two sums).
template <PackedFormat format, int n8, int ahead, int tiles, class Epilogue>
__global__ void __launch_bounds__(kMatmulThreads) matmul(MatmulArguments arguments, Epilogue epilogue) {
  constexpr int kColumns = 8 * n8;
  constexpr int kBlocks = kGroupColumns / kBlockColumns;
  constexpr int kHeld = ahead < 2 ? 1 : 2;  // groups whose activations are held, with few rows
  __shared__ float sums[kMatmulWarps][kTileRows][kColumns + 1];
  __shared__ float scales[kColumns];
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const PackedTiles& matrix = arguments.matrix;
  const std::size_t tile_bytes = matrix.n_groups * group_bytes(format);

  Group<format> groups[tiles][ahead];
  const auto ask_for = [&](int first_tile, int first) {
    DW_UNROLL
    for (int t = 0; t < tiles; ++t) {
      DW_UNROLL
      for (int i = 0; i < ahead; ++i) {
        const int k = first + i * kMatmulWarps;
        if (first_tile + t < matrix.n_tiles && k < matrix.n_groups) {
          groups[t][i].load(matrix.bytes + (first_tile + t) * tile_bytes + k * group_bytes(format), lane);
        }
      }
    }
  };
  const int first_of_block = blockIdx.x * tiles;
  const int stride = gridDim.x * tiles;

  let_next_begin();
  ask_for(first_of_block, warp);
  if (threadIdx.x == 0) {
    std::uint32_t fetched = 0;
    for (int tile = first_of_block; tile < matrix.n_tiles && fetched + tile_bytes <= kMostFetchedAhead;
         tile += stride, fetched += tile_bytes) {
      fetch_ahead(matrix.bytes + tile * tile_bytes, static_cast<std::uint32_t>(tile_bytes));
    }
  }
  wait_for_previous();

  const InverseNorm norm(arguments, warp, lane);
  HeldActivations<kHeld> held;
  // What a warp needs of a short row is the same for all tiles.
  const bool hold_all = n8 == 1 && matrix.n_groups <= kHeld * kMatmulWarps;
  if (hold_all) held.load(arguments, warp, lane);
  bool has_scales = false;
  for (int first_tile = first_of_block; first_tile < matrix.n_tiles; first_tile += stride) {
    float c[tiles][n8][4] = {};
    for (int first = warp; first < matrix.n_groups; first += kMatmulWarps * ahead) {
      if constexpr (n8 == 1) {
        if (!hold_all) held.load(arguments, first, lane);
        DW_UNROLL
        for (int i = 0; i < ahead; i += kHeld) {
          HeldActivations<kHeld> next;
          if (i + kHeld < ahead) next.load(arguments, first + (i + kHeld) * kMatmulWarps, lane);
          DW_UNROLL
          for (int j = 0; j < kHeld; ++j) {
            if (first + (i + j) * kMatmulWarps >= matrix.n_groups) continue;
            DW_UNROLL
            for (int block = 0; block < kBlocks; ++block) {
              const uint4 b[1] = {held.b[j][block]};
              multiply_block<format, 1>(groups[0][i + j], block, b, c[0]);
            }
          }
          if (i + kHeld < ahead) held = next;
        }
      } else {
        DW_UNROLL
        for (int i = 0; i < ahead; ++i) {
          const int k = first + i * kMatmulWarps;
          if (k >= matrix.n_groups) continue;
          DW_UNROLL
          for (int block = 0; block < kBlocks; ++block) {
            uint4 b[n8];
            DW_UNROLL
            for (int n = 0; n < n8; ++n) b[n] = activations_of(arguments, n * 8 + lane / 4, k, block, lane);
            DW_UNROLL
            for (int t = 0; t < tiles; ++t) {
              if (first_tile + t < matrix.n_tiles) multiply_block<format, n8>(groups[t][i], block, b, c[t]);
            }
          }
        }
      }
      const int next = first + kMatmulWarps * ahead;
      if (next < matrix.n_groups) {
        ask_for(first_tile, next);
      } else {
        ask_for(first_tile + stride, warp);
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
    for (int t = 0; t < tiles; ++t) {
      const int tile = first_tile + t;
      if (tile >= matrix.n_tiles) break;
      DW_UNROLL
      for (int n = 0; n < n8; ++n) {
        for (int i = 0; i < 4; ++i) sums[warp][lane / 4 + i / 2 * 8][n * 8 + lane % 4 * 2 + i % 2] = c[t][n][i];
      }
      __syncthreads();
      for (int item = threadIdx.x; item < kColumns * 8; item += kMatmulThreads) {
        const int pair = item % 8;
        const int row = item / 8;
        float one = 0;
        float other = 0;
        DW_UNROLL
        for (int w = 0; w < kMatmulWarps; ++w) {
          one += sums[w][2 * pair][row];
          other += sums[w][2 * pair + 1][row];
        }
        epilogue(tile * 8 + pair, row, row < arguments.n_rows, one * scales[row], other * scales[row]);
      }
      __syncthreads();
    }
  }
}

}  // namespace driftwood::cuda
