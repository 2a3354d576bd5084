#include "device/cpu/packed_matrix.hpp"

#include <cstring>
#include <optional>
#include <string>

namespace driftwood::cpu {
namespace {

using Half = std::uint16_t;

constexpr std::size_t kLineBytes = 64;

std::uint32_t read_word(const std::byte* from) {
  std::uint32_t word = 0;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

/// A block's quants as GGUF has them (column c and column c + 16 share a byte) into lane `row` of four lines.
void pack_nibbles(const std::byte* from, std::uint32_t row, std::byte* tile) {
  constexpr std::uint32_t kLow = 0x0f0f0f0fU;
  for (std::uint32_t line = 0; line < 4; ++line) {
    const std::byte* source = from + line % 2 * 8;
    const std::uint32_t first = read_word(source);
    const std::uint32_t second = read_word(source + 4);
    const std::uint32_t word =
        line < 2 ? (first & kLow) | (second & kLow) << 4U : (first >> 4U & kLow) | (second & ~kLow);
    std::memcpy(tile + line * kLineBytes + row * sizeof(word), &word, sizeof(word));
  }
}

/// Signed bytes, made unsigned, into lane `row` of eight lines.
void pack_bytes(const std::byte* from, std::uint32_t row, std::byte* tile) {
  for (std::uint32_t line = 0; line < 8; ++line) {
    const std::uint32_t word = read_word(from + line * sizeof(word)) ^ 0x80808080U;
    std::memcpy(tile + line * kLineBytes + row * sizeof(word), &word, sizeof(word));
  }
}

/// One block of a row (block_q4_0, block_q4_1 or block_q8_0 of ggml: scale, minimum, quants).
void pack_block(const TileFormat& format, const std::byte* from, std::uint32_t row, std::byte* tile) {
  std::byte* scales = tile + format.quant_bytes();
  std::memcpy(scales + row * sizeof(Half), from, sizeof(Half));
  from += sizeof(Half);
  if (format.has_minimum) {
    std::memcpy(scales + (kTileRows + row) * sizeof(Half), from, sizeof(Half));
    from += sizeof(Half);
  }
  if (format.bits == 4) {
    pack_nibbles(from, row, tile);
  } else {
    pack_bytes(from, row, tile);
  }
}

std::optional<TileFormat> format_of(ggml_type type) {
  switch (type) {
    case GGML_TYPE_Q4_0: return TileFormat{4, 8, false};
    case GGML_TYPE_Q4_1: return TileFormat{4, 0, true};
    case GGML_TYPE_Q8_0: return TileFormat{8, 128, false};
    default: return std::nullopt;
  }
}

}  // namespace

bool can_pack(ggml_type type) noexcept { return format_of(type).has_value(); }

Result<PackedMatrix> PackedMatrix::describe(const ggml_tensor& weight) {
  const std::optional<TileFormat> format = format_of(weight.type);
  if (!format || weight.ne[0] % kBlock != 0 || weight.ne[2] != 1 || weight.ne[3] != 1) {
    return fail(ErrorCode::unsupported, "The weight \"" + std::string(weight.name) + "\" of type " +
                                            ggml_type_name(weight.type) + " and " + std::to_string(weight.ne[0]) +
                                            " columns cannot be packed: q4_0, q4_1 and q8_0 in multiples of 32 can.");
  }
  return PackedMatrix(static_cast<std::uint32_t>(weight.ne[1]), static_cast<std::uint32_t>(weight.ne[0]), *format);
}

Result<std::size_t> PackedMatrix::packed_bytes(const ggml_tensor& weight) {
  DW_TRY_ASSIGN(const PackedMatrix packed, describe(weight));
  return packed.bytes();
}

Result<PackedMatrix> PackedMatrix::pack(const ggml_tensor& weight, std::span<std::byte> into) {
  DW_TRY_ASSIGN(PackedMatrix packed, describe(weight));
  DW_CHECK(into.size() >= packed.bytes());
  packed.data_ = into.data();
  const std::size_t tile_bytes = packed.format_.tile_bytes();
  const std::size_t block_bytes = ggml_type_size(weight.type);
  // Lanes of rows that the last tile has too many of are never stored by a product, but are read.
  std::byte* last_tile = into.data() + (packed.row_tiles() - 1) * packed.row_tile_bytes();
  if (packed.rows_ % kTileRows != 0) std::memset(last_tile, 0, packed.row_tile_bytes());
  for (std::uint32_t row = 0; row < packed.rows_; ++row) {
    const auto* from = static_cast<const std::byte*>(weight.data) + row * weight.nb[1];
    std::byte* tile = into.data() + row / kTileRows * packed.row_tile_bytes();
    for (std::uint32_t b = 0; b < packed.columns_ / kBlock; ++b) {
      pack_block(packed.format_, from, row % kTileRows, tile);
      from += block_bytes;
      tile += tile_bytes;
    }
  }
  return packed;
}

}  // namespace driftwood::cpu
