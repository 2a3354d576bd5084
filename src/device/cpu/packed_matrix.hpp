// Quantized weights rearranged so that a vector unit reads them straight through.
//
// A tile holds 16 rows by one block of 32 columns:
//   quants  4 bits: 4 lines of 64 bytes; byte 4r + b of line j has row r's columns
//                   8j + b (low nibble) and 8j + 4 + b (high nibble)
//           8 bits: 8 lines of 64 bytes; byte 4r + b of line j has row r's column 4j + b
//   scales  16 x f16, and for kinds with a minimum 16 x f16 more
// Tiles of the same rows follow one another along the columns. Quants are
// unsigned: weight = scale * (quant - zero_point) + minimum.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/error.hpp"

namespace driftwood::cpu {

inline constexpr std::uint32_t kTileRows = 16;
inline constexpr std::uint32_t kBlock = 32;  ///< columns that share a scale

/// What a tile looks like; follows from the ggml type.
struct TileFormat {
  std::uint32_t bits = 4;  ///< 4 or 8
  std::int32_t zero_point = 0;
  bool has_minimum = false;

  std::size_t quant_bytes() const noexcept { return std::size_t{kTileRows} * kBlock * bits / 8; }
  std::size_t tile_bytes() const noexcept { return quant_bytes() + (has_minimum ? 2U : 1U) * kTileRows * 2U; }
};

/// True for the types that pack(): q4_0, q4_1, q8_0.
bool can_pack(ggml_type type) noexcept;

/// A view of packed bytes, which must outlive it. Immutable; may be read from any thread.
class PackedMatrix {
 public:
  /// Bytes that pack() needs. unsupported: a type or shape that cannot be packed, by name.
  static Result<std::size_t> packed_bytes(const ggml_tensor& weight);
  /// Packs `weight` (2-D, in host memory, columns a multiple of 32) into `into`, which holds
  /// packed_bytes() and is 64-byte aligned. unsupported as above.
  static Result<PackedMatrix> pack(const ggml_tensor& weight, std::span<std::byte> into);

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
  std::size_t row_tile_bytes() const noexcept { return columns_ / kBlock * format_.tile_bytes(); }

  std::uint32_t rows_;
  std::uint32_t columns_;
  TileFormat format_;
  const std::byte* data_ = nullptr;
};

}  // namespace driftwood::cpu
