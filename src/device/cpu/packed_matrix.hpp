// Quantized weights rearranged so that a vector unit reads them straight through.
//
// A tile holds 16 rows by one block of 32 columns; tiles of the same rows follow one
// another along the columns. Quants are unsigned, and lie in lines of 64 bytes:
//   8 bits   8 lines; byte 4r + b of line j has row r's column 4j + b
//   4 to 6   4 lines; byte 4r + b of line j has the low 4 bits of row r's columns
//            8j + b (low nibble) and 8j + 4 + b (high nibble)
//   5        1 line more; bit j of byte 4r + b is bit 4 of column 4j + b
//   6        2 lines more; bits 2(j % 4) and on of byte 4r + b of line j / 4 are bits 4 and 5
//            of column 4j + b
// Behind the quants come the tile's scales (Scales below). Where blocks have their scales in
// units of a super-block's, those units lie in a line or two ahead of each 8 tiles.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/error.hpp"

namespace driftwood::cpu {

inline constexpr std::uint32_t kTileRows = 16;
inline constexpr std::uint32_t kBlock = 32;        ///< columns of a tile
inline constexpr std::uint32_t kSuperBlock = 256;  ///< columns that share the units of their scales

/// How a weight follows from its quant q (less the zero point), and what lies behind a tile's quants.
enum class Scales : std::uint8_t {
  block,              ///< scale * q: 16 x f16
  block_and_minimum,  ///< scale * q + minimum: 16 x f16 scales, 16 x f16 minima
  super,              ///< d * scale * q - dmin * minimum: 16 x u8 scales, 16 x u8 minima; d, dmin 16 x f16 each
  super_halves,       ///< d * scale of 16 columns * q: 16 x i8 of the first ones, 16 x i8 of the others; d 16 x f16
};

/// What a tile looks like; follows from the ggml type.
struct TileFormat {
  std::uint32_t bits = 4;  ///< 4, 5, 6 or 8
  std::int32_t zero_point = 0;
  Scales scales = Scales::block;

  friend bool operator==(const TileFormat&, const TileFormat&) = default;

  constexpr bool has_super() const noexcept { return scales == Scales::super || scales == Scales::super_halves; }
  constexpr std::size_t quant_bytes() const noexcept { return std::size_t{kTileRows} * kBlock * bits / 8; }
  constexpr std::size_t tile_bytes() const noexcept {
    return quant_bytes() + (scales == Scales::block_and_minimum ? 4U : 2U) * kTileRows;
  }
  /// Bytes of the units ahead of a super-block's tiles.
  constexpr std::size_t super_bytes() const noexcept {
    return scales == Scales::super ? 4U * kTileRows : scales == Scales::super_halves ? 2U * kTileRows : 0U;
  }
  /// Bytes of a row tile of `columns`.
  constexpr std::size_t row_tile_bytes(std::uint32_t columns) const noexcept {
    return columns / kBlock * tile_bytes() + columns / kSuperBlock * super_bytes();
  }
};

/// True for the types that pack(): q4_0, q4_1, q5_0, q5_1, q8_0, q4_K, q5_K, q6_K.
bool can_pack(ggml_type type) noexcept;

/// Of what pack() makes of a type; another number where that changes.
inline constexpr std::uint32_t kPackedVersion = 1;

/// A view of packed bytes, which must outlive it. Immutable; may be read from any thread.
class PackedMatrix {
 public:
  /// Bytes that pack() needs. unsupported: a type or shape that cannot be packed, by name.
  static Result<std::size_t> packed_bytes(const ggml_tensor& weight);
  /// Packs `weight` (2-D, in host memory, columns a multiple of 32) into `into`, which holds
  /// packed_bytes() and is 64-byte aligned. unsupported as above.
  static Result<PackedMatrix> pack(const ggml_tensor& weight, std::span<std::byte> into);

  /// What pack() of the same weight has left in `packed`, elsewhere or before. unsupported as above.
  static Result<PackedMatrix> view(const ggml_tensor& weight, std::span<const std::byte> packed);

  std::uint32_t rows() const noexcept { return rows_; }
  std::uint32_t columns() const noexcept { return columns_; }
  std::uint32_t row_tiles() const noexcept { return (rows_ + kTileRows - 1) / kTileRows; }
  const TileFormat& format() const noexcept { return format_; }
  std::size_t bytes() const noexcept { return row_tiles() * row_tile_bytes(); }
  /// The tiles of rows 16 * tile and on.
  const std::byte* row_tile(std::uint32_t tile) const noexcept { return data_ + tile * row_tile_bytes(); }

 private:
  PackedMatrix(std::uint32_t rows, std::uint32_t columns, TileFormat format)
      : rows_(rows), columns_(columns), format_(format) {}
  static Result<PackedMatrix> describe(const ggml_tensor& weight);
  std::size_t row_tile_bytes() const noexcept { return format_.row_tile_bytes(columns_); }

  std::uint32_t rows_;
  std::uint32_t columns_;
  TileFormat format_;
  const std::byte* data_ = nullptr;
};

}  // namespace driftwood::cpu
