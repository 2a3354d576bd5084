// A thread's part of a group of packed weights, as the halves that the tensor cores take.
#pragma once

#include "device/cuda/decode/intrinsics.cuh"
#include "device/cuda/decode/packed_layout.hpp"

namespace driftwood::cuda {

template <PackedFormat format>
struct Group;

template <>
struct Group<PackedFormat::w4> {
  uint4 rows[2];  ///< of row g, and of row g + 8; a word for each block of 32 columns
  uint2 scales[2];

  __device__ void load(const std::uint8_t* group, int lane) {
    for (int i = 0; i < 2; ++i) {
      rows[i] = load_stream(group + i * 512 + lane * 16);
      scales[i] = *reinterpret_cast<const uint2*>(group + scales_offset(PackedFormat::w4) + (lane / 4 + 8 * i) * 8);
    }
  }

  /// The fragment of step `step` (0 to 7).
  __device__ void fragment(int step, Half2 (&a)[4]) const {
    const int block = step / 2;
    for (int i = 0; i < 2; ++i) {
      const std::uint32_t words[4] = {rows[i].x, rows[i].y, rows[i].z, rows[i].w};
      const std::uint32_t two = block < 2 ? scales[i].x : scales[i].y;
      const Half2 scale = twice(static_cast<std::uint16_t>(block % 2 == 0 ? two : two >> 16));
      for (int j = 0; j < 2; ++j) {
        // 0x6400 is 1024 as a half, and its lowest bits count in ones: 1024 + q, less 1032, is q - 8.
        const Half2 biased = ((words[block] >> (4 * (step % 2 * 2 + j))) & 0x000f000f) | 0x64006400;
        a[2 * j + i] = sub_mul(biased, 0x64086408, scale);
      }
    }
  }
};

template <>
struct Group<PackedFormat::w8> {
  uint4 rows[4];  ///< two for row g, two for row g + 8; a word for each step
  uint4 scales[2];

  __device__ void load(const std::uint8_t* group, int lane) {
    for (int i = 0; i < 4; ++i) rows[i] = load_stream(group + i * 512 + lane * 16);
    for (int i = 0; i < 2; ++i) {
      scales[i] = *reinterpret_cast<const uint4*>(group + scales_offset(PackedFormat::w8) + (lane / 4 + 8 * i) * 16);
    }
  }

  __device__ void fragment(int step, Half2 (&a)[4]) const {
    for (int i = 0; i < 2; ++i) {
      const uint4 four = rows[i * 2 + step / 4];
      const std::uint32_t words[4] = {four.x, four.y, four.z, four.w};
      const std::uint32_t pairs[4] = {scales[i].x, scales[i].y, scales[i].z, scales[i].w};
      const std::uint32_t two = pairs[step / 2];
      const Half2 scale = twice(static_cast<std::uint16_t>(step % 2 == 0 ? two : two >> 16));
      const std::uint32_t word = words[step % 4];
      // Numbers are stored with 128 added: 1024 + 128 + q, less 1152, is q.
      a[i] = sub_mul(permute_bytes(word, 0x64646464, 0x4140), 0x64806480, scale);
      a[2 + i] = sub_mul(permute_bytes(word, 0x64646464, 0x4342), 0x64806480, scale);
    }
  }
};

template <>
struct Group<PackedFormat::w16> {
  uint4 rows[8];  ///< four for row g, four for row g + 8; two words for each step

  __device__ void load(const std::uint8_t* group, int lane) {
    for (int i = 0; i < 8; ++i) rows[i] = load_stream(group + i * 512 + lane * 16);
  }

  __device__ void fragment(int step, Half2 (&a)[4]) const {
    for (int i = 0; i < 2; ++i) {
      const uint4 two_steps = rows[i * 4 + step / 2];
      a[i] = step % 2 == 0 ? two_steps.x : two_steps.z;
      a[2 + i] = step % 2 == 0 ? two_steps.y : two_steps.w;
    }
  }
};

/// One number of a packed matrix.
template <PackedFormat format>
__device__ inline float packed_number(const PackedTiles& matrix, int row, int column) {
  const std::size_t tile = row / kTileRows;
  const std::uint8_t* group = matrix.bytes + (tile * matrix.n_groups + column / kGroupColumns) * group_bytes(format);
  const int r = row % kTileRows;
  const int c = column % kGroupColumns;
  const std::uint8_t* at = group + number_offset(format, r, c);
  if constexpr (format == PackedFormat::w16) return to_float(*reinterpret_cast<const std::uint16_t*>(at));
  const float scale = to_float(*reinterpret_cast<const std::uint16_t*>(group + scale_offset(format, r, c)));
  if constexpr (format == PackedFormat::w4) {
    const std::uint32_t word = *reinterpret_cast<const std::uint32_t*>(at);
    return scale * static_cast<float>(static_cast<int>((word >> shift_of(c)) & 15) - 8);
  }
  return scale * static_cast<float>(static_cast<int>(*at) - 128);
}

}  // namespace driftwood::cuda
