// ggml's quantized blocks taken apart: what pack() rearranges. Pure; any thread.
#pragma once

#include <ggml.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "device/cpu/packed_matrix.hpp"

namespace driftwood::cpu {

/// 32 columns of one row. Half precision numbers are bits, as they lie in a file.
struct WeightBlock {
  std::array<std::uint8_t, kBlock> quants;  ///< less TileFormat::zero_point they are what is multiplied
  std::array<std::uint16_t, 2> halves{};    ///< Scales::block: the scale; block_and_minimum: scale, minimum
  std::array<std::uint8_t, 2> bytes{};      ///< super: scale, minimum; super_halves: two signed scales
  std::array<std::uint16_t, 2> units{};     ///< super: d, dmin; super_halves: d
};

/// The tile format of a type; nothing for a type that has none.
std::optional<TileFormat> tile_format(ggml_type type) noexcept;

/// Block number `block` (of 32 columns) of a row of a type that has a tile format.
WeightBlock read_block(ggml_type type, const std::byte* row, std::uint32_t block) noexcept;

}  // namespace driftwood::cpu
