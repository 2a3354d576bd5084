#include "device/cpu/weight_blocks.hpp"

#include <cstring>

namespace driftwood::cpu {
namespace {

// The blocks are ggml's (ggml-common.h); their layouts are part of the GGUF format.

using Half = std::uint16_t;
using Bytes = const std::uint8_t*;

constexpr std::uint32_t kBlocksInSuper = kSuperBlock / kBlock;

Half read_half(Bytes from) {
  Half half = 0;
  std::memcpy(&half, from, sizeof(half));
  return half;
}

/// Column c and column c + 16 share a byte.
void read_nibbles(Bytes from, std::array<std::uint8_t, kBlock>& quants) {
  for (std::uint32_t i = 0; i < kBlock / 2; ++i) {
    quants[i] = from[i] & 15U;
    quants[i + kBlock / 2] = from[i] >> 4U;
  }
}

/// Bit c of a word is bit 4 of column c.
void add_fifth_bits(Bytes from, std::array<std::uint8_t, kBlock>& quants) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, from, sizeof(bits));
  for (std::uint32_t i = 0; i < kBlock; ++i) quants[i] |= static_cast<std::uint8_t>((bits >> i & 1U) << 4U);
}

/// q4_0, q4_1, q5_0, q5_1: scale, minimum, fifth bits, nibbles, each where the type has it.
WeightBlock read_small(Bytes from, bool has_minimum, bool has_fifth_bits) {
  WeightBlock block;
  block.halves[0] = read_half(from);
  from += sizeof(Half);
  if (has_minimum) {
    block.halves[1] = read_half(from);
    from += sizeof(Half);
  }
  Bytes fifth_bits = from;
  if (has_fifth_bits) from += sizeof(std::uint32_t);
  read_nibbles(from, block.quants);
  if (has_fifth_bits) add_fifth_bits(fifth_bits, block.quants);
  return block;
}

/// q8_0: a scale, signed bytes.
WeightBlock read_q8_0(Bytes from) {
  WeightBlock block;
  block.halves[0] = read_half(from);
  for (std::uint32_t i = 0; i < kBlock; ++i) block.quants[i] = from[sizeof(Half) + i] ^ 0x80U;
  return block;
}

/// Scale and minimum of block j, 6 bits each, of the 12 bytes in which q4_K and q5_K keep all eight.
std::array<std::uint8_t, 2> read_scale_and_minimum(Bytes packed, std::uint32_t j) {
  const auto byte = [](std::uint32_t value) { return static_cast<std::uint8_t>(value); };
  if (j < 4) return {byte(packed[j] & 63U), byte(packed[j + 4] & 63U)};
  return {byte((packed[j + 4] & 15U) | packed[j - 4] >> 6U << 4U), byte(packed[j + 4] >> 4U | packed[j] >> 6U << 4U)};
}

/// q4_K, q5_K: d, dmin, scales and minima; q5_K: fifth bits; 64 columns share 32 bytes, the first half the low nibbles.
WeightBlock read_k4_or_k5(Bytes from, std::uint32_t j, bool has_fifth_bits) {
  WeightBlock block;
  block.units = {read_half(from), read_half(from + sizeof(Half))};
  Bytes scales = from + 2 * sizeof(Half);
  block.bytes = read_scale_and_minimum(scales, j);
  Bytes fifth_bits = scales + 12;
  Bytes nibbles = fifth_bits + (has_fifth_bits ? kBlock : 0) + j / 2 * std::size_t{kBlock};
  for (std::uint32_t i = 0; i < kBlock; ++i) {
    block.quants[i] = nibbles[i] >> (j % 2 * 4) & 15U;
    if (has_fifth_bits) block.quants[i] |= static_cast<std::uint8_t>((fifth_bits[i] >> j & 1U) << 4U);
  }
  return block;
}

/// q6_K: low nibbles [2][64], high pairs of bits [2][32], 16 signed scales, d. Of each half of 128 columns, 32 columns
/// in turn take: the low nibbles of the first 32 bytes, of the others, then the high nibbles likewise.
WeightBlock read_k6(Bytes from, std::uint32_t j) {
  WeightBlock block;
  const std::uint32_t half = j / 4;
  const std::uint32_t quarter = j % 4;
  Bytes nibbles = from + half * 64 + quarter % 2 * std::size_t{kBlock};
  Bytes pairs = from + 128 + half * std::size_t{kBlock};
  for (std::uint32_t i = 0; i < kBlock; ++i) {
    const std::uint32_t low = nibbles[i] >> (quarter / 2 * 4) & 15U;
    block.quants[i] = static_cast<std::uint8_t>(low | (pairs[i] >> (2 * quarter) & 3U) << 4U);
  }
  Bytes scales = from + 128 + 64;
  block.bytes = {scales[2 * j], scales[2 * j + 1]};
  block.units[0] = read_half(scales + 16);
  return block;
}

}  // namespace

std::optional<TileFormat> tile_format(ggml_type type) noexcept {
  switch (type) {
    case GGML_TYPE_Q4_0: return TileFormat{4, 8, Scales::block};
    case GGML_TYPE_Q4_1: return TileFormat{4, 0, Scales::block_and_minimum};
    case GGML_TYPE_Q5_0: return TileFormat{5, 16, Scales::block};
    case GGML_TYPE_Q5_1: return TileFormat{5, 0, Scales::block_and_minimum};
    case GGML_TYPE_Q8_0: return TileFormat{8, 128, Scales::block};
    case GGML_TYPE_Q4_K: return TileFormat{4, 0, Scales::super};
    case GGML_TYPE_Q5_K: return TileFormat{5, 0, Scales::super};
    case GGML_TYPE_Q6_K: return TileFormat{6, 32, Scales::super_halves};
    default: return std::nullopt;
  }
}

WeightBlock read_block(ggml_type type, const std::byte* row, std::uint32_t block) noexcept {
  const std::size_t size = ggml_type_size(type);
  const auto* bytes = reinterpret_cast<Bytes>(row);
  Bytes own = bytes + block * size;
  Bytes super = bytes + block / kBlocksInSuper * size;
  const std::uint32_t in_super = block % kBlocksInSuper;
  switch (type) {
    case GGML_TYPE_Q4_0: return read_small(own, false, false);
    case GGML_TYPE_Q4_1: return read_small(own, true, false);
    case GGML_TYPE_Q5_0: return read_small(own, false, true);
    case GGML_TYPE_Q5_1: return read_small(own, true, true);
    case GGML_TYPE_Q8_0: return read_q8_0(own);
    case GGML_TYPE_Q4_K: return read_k4_or_k5(super, in_super, false);
    case GGML_TYPE_Q5_K: return read_k4_or_k5(super, in_super, true);
    default: return read_k6(super, in_super);
  }
}

}  // namespace driftwood::cpu
