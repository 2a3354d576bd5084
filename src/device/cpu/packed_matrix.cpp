#include "device/cpu/packed_matrix.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "core/bytes.hpp"

namespace driftwood::cpu {
namespace {

using Half = std::uint16_t;

/// One block of a row as GGUF has it, taken apart (block_q4_0, block_q4_1, block_q8_0 of ggml).
struct Block {
  std::array<std::uint8_t, kBlock> quants{};
  Half scale = 0;
  Half minimum = 0;
};

Half read_half(const std::byte* from) {
  Half half = 0;
  std::memcpy(&half, from, sizeof(half));
  return half;
}

/// Column c and column c + 16 share a byte.
void read_nibbles(const std::byte* from, Block& block) {
  for (std::uint32_t i = 0; i < kBlock / 2; ++i) {
    const auto byte = std::to_integer<std::uint8_t>(from[i]);
    block.quants[i] = byte & 15U;
    block.quants[i + kBlock / 2] = byte >> 4U;
  }
}

Block read_block(ggml_type type, const std::byte* from) {
  Block block;
  block.scale = read_half(from);
  if (type == GGML_TYPE_Q4_0) {
    read_nibbles(from + sizeof(Half), block);
  } else if (type == GGML_TYPE_Q4_1) {
    block.minimum = read_half(from + sizeof(Half));
    read_nibbles(from + 2 * sizeof(Half), block);
  } else {
    for (std::uint32_t i = 0; i < kBlock; ++i) {
      block.quants[i] = std::to_integer<std::uint8_t>(from[sizeof(Half) + i]) ^ 0x80U;
    }
  }
  return block;
}

void write_block(const TileFormat& format, const Block& block, std::uint32_t row, std::byte* tile) {
  for (std::uint32_t c = 0; c < kBlock; ++c) {
    const std::uint32_t group = c / 4;
    const std::uint32_t in_line = 4 * row + c % 4;
    if (format.bits == 4) {
      tile[group / 2 * 64 + in_line] |= static_cast<std::byte>(block.quants[c] << (group % 2 * 4));
    } else {
      tile[group * 64 + in_line] = static_cast<std::byte>(block.quants[c]);
    }
  }
  std::byte* scales = tile + format.quant_bytes();
  std::memcpy(scales + row * sizeof(Half), &block.scale, sizeof(Half));
  if (format.has_minimum) {
    std::memcpy(scales + (kTileRows + row) * sizeof(Half), &block.minimum, sizeof(Half));
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

void PackedMatrix::free_bytes(std::byte* bytes) noexcept { std::free(bytes); }

PackedMatrix::PackedMatrix(std::uint32_t rows, std::uint32_t columns, TileFormat format)
    : rows_(rows), columns_(columns), format_(format) {}

Result<PackedMatrix> PackedMatrix::pack(const ggml_tensor& weight) {
  const std::optional<TileFormat> format = format_of(weight.type);
  if (!format || weight.ne[0] % kBlock != 0 || weight.ne[2] != 1 || weight.ne[3] != 1) {
    return fail(ErrorCode::unsupported, "The weight \"" + std::string(weight.name) + "\" of type " +
                                            ggml_type_name(weight.type) + " and " + std::to_string(weight.ne[0]) +
                                            " columns cannot be packed: q4_0, q4_1 and q8_0 in multiples of 32 can.");
  }
  PackedMatrix packed(static_cast<std::uint32_t>(weight.ne[1]), static_cast<std::uint32_t>(weight.ne[0]), *format);
  const std::size_t size = align_up(packed.bytes(), 64);
  packed.data_.reset(static_cast<std::byte*>(std::aligned_alloc(64, size)));
  if (!packed.data_) {
    return fail(ErrorCode::out_of_memory, "There is no memory for " + format_bytes(size) + " of packed weights.");
  }
  std::memset(packed.data_.get(), 0, size);
  const auto* source = static_cast<const std::byte*>(weight.data);
  const std::size_t block_bytes = ggml_type_size(weight.type);
  for (std::uint32_t row = 0; row < packed.rows_; ++row) {
    const std::byte* from = source + row * weight.nb[1];
    std::byte* tile = packed.data_.get() + row / kTileRows * packed.row_tile_bytes();
    for (std::uint32_t b = 0; b < packed.columns_ / kBlock; ++b) {
      write_block(*format, read_block(weight.type, from), row % kTileRows, tile);
      from += block_bytes;
      tile += format->tile_bytes();
    }
  }
  return packed;
}

}  // namespace driftwood::cpu
