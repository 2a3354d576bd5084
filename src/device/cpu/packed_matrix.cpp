#include "device/cpu/packed_matrix.hpp"

#include <cstring>
#include <optional>
#include <string>

#include "device/cpu/weight_blocks.hpp"

namespace driftwood::cpu {
namespace {

using Word = std::uint32_t;  // four columns of a row

constexpr std::size_t kLineBytes = 64;
constexpr std::uint32_t kGroups = kBlock / 4;

/// Lane `row` of a line.
void put_word(std::byte* line, std::uint32_t row, Word word) {
  std::memcpy(line + row * sizeof(word), &word, sizeof(word));
}

void pack_quants(const WeightBlock& block, std::uint32_t bits, std::uint32_t row, std::byte* tile) {
  Word groups[kGroups];
  std::memcpy(groups, block.quants.data(), sizeof(groups));
  if (bits == 8) {
    for (std::uint32_t j = 0; j < kGroups; ++j) put_word(tile + j * kLineBytes, row, groups[j]);
    return;
  }
  constexpr Word kLow = 0x0f0f0f0fU;
  for (std::uint32_t j = 0; j < kGroups / 2; ++j) {
    put_word(tile + j * kLineBytes, row, (groups[2 * j] & kLow) | (groups[2 * j + 1] & kLow) << 4U);
  }
  tile += kGroups / 2 * kLineBytes;
  const std::uint32_t high_bits = bits - 4;
  const std::uint32_t groups_in_line = high_bits == 0 ? kGroups : 8 / high_bits;
  for (std::uint32_t j = 0; j < kGroups && high_bits != 0; j += groups_in_line, tile += kLineBytes) {
    Word line = 0;
    for (std::uint32_t i = 0; i < groups_in_line; ++i) line |= (groups[j + i] >> 4U & kLow) << (i * high_bits);
    put_word(tile, row, line);
  }
}

void pack_scales(const WeightBlock& block, const TileFormat& format, std::uint32_t row, std::byte* scales) {
  constexpr std::size_t kHalf = sizeof(block.halves[0]);
  if (format.has_super()) {
    std::memcpy(scales + row, &block.bytes[0], 1);
    std::memcpy(scales + kTileRows + row, &block.bytes[1], 1);
    return;
  }
  std::memcpy(scales + row * kHalf, &block.halves[0], kHalf);
  if (format.scales == Scales::block_and_minimum) {
    std::memcpy(scales + (kTileRows + row) * kHalf, &block.halves[1], kHalf);
  }
}

void pack_units(const WeightBlock& block, const TileFormat& format, std::uint32_t row, std::byte* units) {
  constexpr std::size_t kHalf = sizeof(block.units[0]);
  std::memcpy(units + row * kHalf, &block.units[0], kHalf);
  if (format.scales == Scales::super) std::memcpy(units + (kTileRows + row) * kHalf, &block.units[1], kHalf);
}

}  // namespace

bool can_pack(ggml_type type) noexcept { return tile_format(type).has_value(); }

Result<PackedMatrix> PackedMatrix::describe(const ggml_tensor& weight) {
  const std::optional<TileFormat> format = tile_format(weight.type);
  if (!format || weight.ne[0] % kBlock != 0 || weight.ne[2] != 1 || weight.ne[3] != 1) {
    return fail(ErrorCode::unsupported,
                "The weight \"" + std::string(weight.name) + "\" of type " + ggml_type_name(weight.type) + " and " +
                    std::to_string(weight.ne[0]) +
                    " columns cannot be packed: matrices of q4_0, q4_1, q5_0, q5_1, q8_0, q4_K, q5_K and q6_K can.");
  }
  return PackedMatrix(static_cast<std::uint32_t>(weight.ne[1]), static_cast<std::uint32_t>(weight.ne[0]), *format);
}

Result<std::size_t> PackedMatrix::packed_bytes(const ggml_tensor& weight) {
  DW_TRY_ASSIGN(const PackedMatrix packed, describe(weight));
  return packed.bytes();
}

Result<PackedMatrix> PackedMatrix::view(const ggml_tensor& weight, std::span<const std::byte> packed) {
  DW_TRY_ASSIGN(PackedMatrix matrix, describe(weight));
  DW_CHECK(packed.size() >= matrix.bytes());
  matrix.data_ = packed.data();
  return matrix;
}

Result<PackedMatrix> PackedMatrix::pack(const ggml_tensor& weight, std::span<std::byte> into) {
  DW_TRY_ASSIGN(PackedMatrix packed, describe(weight));
  DW_CHECK(into.size() >= packed.bytes());
  packed.data_ = into.data();
  const TileFormat& format = packed.format_;
  // Lanes of rows that the last tile has too many of are never stored by a product, but are read.
  std::byte* last_tile = into.data() + (packed.row_tiles() - 1) * packed.row_tile_bytes();
  if (packed.rows_ % kTileRows != 0) std::memset(last_tile, 0, packed.row_tile_bytes());
  for (std::uint32_t row = 0; row < packed.rows_; ++row) {
    const auto* from = static_cast<const std::byte*>(weight.data) + row * weight.nb[1];
    std::byte* tile = into.data() + row / kTileRows * packed.row_tile_bytes();
    const std::uint32_t lane = row % kTileRows;
    for (std::uint32_t b = 0; b < packed.columns_ / kBlock; ++b) {
      const WeightBlock block = read_block(weight.type, from, b);
      if (format.has_super() && b % (kSuperBlock / kBlock) == 0) {
        pack_units(block, format, lane, tile);
        tile += format.super_bytes();
      }
      pack_quants(block, format.bits, lane, tile);
      pack_scales(block, format, lane, tile + format.quant_bytes());
      tile += format.tile_bytes();
    }
  }
  return packed;
}

}  // namespace driftwood::cpu
