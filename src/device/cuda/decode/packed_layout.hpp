// How weights and activations lie for the kernels of this folder.
//
// A matrix is cut into tiles of 16 rows, a tile into groups of 128 columns, which lie
// one after another: a group is what a warp loads at once, each thread's words
// together, in the order in which the tensor cores want them (m16n8k16: of a step of 16
// columns, thread 4g + t holds columns 2t, 2t+1, 2t+8, 2t+9 of the rows g and g+8).
// Columns beyond the matrix's are zero.
//
//   w4   q4_0                1,024 bytes of 4-bit numbers, 128 of scales (f16, one for 32 columns)
//   w8   q8_0, q5_0, q6_K    2,048 bytes of 8-bit numbers, 256 of scales (f16, one for 16 columns)
//   w16  f16                 4,096 bytes
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#define DW_HOST_DEVICE __host__ __device__
#else
#define DW_HOST_DEVICE
#endif

namespace driftwood::cuda {

enum class PackedFormat : std::uint8_t { w4, w8, w16 };

inline constexpr int kTileRows = 16;
inline constexpr int kGroupColumns = 128;
inline constexpr int kBlockColumns = 32;  ///< that share a 16-byte word of activations
inline constexpr int kStepColumns = 16;

/// Bytes of one group, and from its start to the scales.
DW_HOST_DEVICE constexpr std::size_t group_bytes(PackedFormat format) {
  return format == PackedFormat::w4 ? 1152 : format == PackedFormat::w8 ? 2304 : 4096;
}
DW_HOST_DEVICE constexpr std::size_t scales_offset(PackedFormat format) {
  return format == PackedFormat::w4 ? 1024 : 2048;
}

/// Where a column of a step lies: thread 4g + t, pair j, and which of the pair.
struct StepPlace {
  int t, j, low;
};
DW_HOST_DEVICE constexpr StepPlace step_place(int column) {
  const int c = column % kStepColumns;
  return {(c % 8) / 2, c / 8, c % 2};
}

/// Where a row's element lies among its activations: a block of 32 is reordered so that each thread's are 16 bytes.
DW_HOST_DEVICE constexpr int activation_place(int column) {
  const StepPlace p = step_place(column);
  const int step = column % kBlockColumns / kStepColumns;
  return column / kBlockColumns * kBlockColumns + p.t * 8 + (step * 2 + p.j) * 2 + p.low;
}

/// Bytes from a group's start to the number of a row (0 to 15) and column (0 to 127); for w4 its shift in bits within
/// the word there is shift_of().
DW_HOST_DEVICE constexpr std::size_t number_offset(PackedFormat format, int row, int column) {
  const StepPlace p = step_place(column);
  const int lane = row % 8 * 4 + p.t;
  const int half = row / 8;
  const int step = column / kStepColumns;
  switch (format) {
    case PackedFormat::w4: return half * 512 + lane * 16 + column / kBlockColumns * 4;
    case PackedFormat::w8: return (half * 2 + step / 4) * 512 + lane * 16 + step % 4 * 4 + p.j * 2 + p.low;
    case PackedFormat::w16: return (half * 4 + step / 2) * 512 + lane * 16 + step % 2 * 8 + p.j * 4 + p.low * 2;
  }
  return 0;
}
DW_HOST_DEVICE constexpr int shift_of(int column) {
  const StepPlace p = step_place(column);
  return 4 * (column % kBlockColumns / kStepColumns * 2 + p.j) + 16 * p.low;
}
DW_HOST_DEVICE constexpr std::size_t scale_offset(PackedFormat format, int row, int column) {
  const int per_row = format == PackedFormat::w4 ? 4 : 8;
  const int columns = kGroupColumns / per_row;
  return scales_offset(format) + static_cast<std::size_t>(row * per_row + column / columns) * 2;
}

/// A packed matrix in the device's memory.
struct PackedTiles {
  const std::uint8_t* bytes = nullptr;
  PackedFormat format = PackedFormat::w4;
  int n_tiles = 0;   ///< of 16 rows
  int n_groups = 0;  ///< of 128 columns, in each tile
};

}  // namespace driftwood::cuda
