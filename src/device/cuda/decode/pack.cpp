#include "device/cuda/decode/pack.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "core/bytes.hpp"
#include "core/error.hpp"

namespace driftwood::cuda {
namespace {

// ggml's blocks: ggml-common.h has their layouts.
constexpr int kQ4Bytes = 18;   // f16 scale, 16 bytes: element i low, i + 16 high
constexpr int kQ5Bytes = 22;   // f16 scale, 4 bytes of fifth bits, 16 bytes as in q4_0
constexpr int kQ8Bytes = 34;   // f16 scale, 32 bytes
constexpr int kQ6Bytes = 210;  // 128 bytes low, 64 bytes high, 16 scales, f16 scale
constexpr int kQ6Columns = 256;

std::uint16_t read_half(const std::uint8_t* at) {
  std::uint16_t half;
  std::memcpy(&half, at, sizeof(half));
  return half;
}

/// Puts the numbers of one row of a tile in their places.
class RowPacker {
 public:
  RowPacker(PackedFormat format, int row, std::uint8_t* tile) : format_(format), row_(row), tile_(tile) {}

  /// 32 columns from `column` on, w4: 0 to 15 for -8 to 7.
  void number4(int column, std::uint32_t value) {
    std::uint8_t* at = group(column) + number_offset(format_, row_, column % kGroupColumns);
    std::uint32_t word;
    std::memcpy(&word, at, sizeof(word));
    word |= value << shift_of(column % kGroupColumns);
    std::memcpy(at, &word, sizeof(word));
  }
  void number8(int column, int value) {
    group(column)[number_offset(format_, row_, column % kGroupColumns)] = static_cast<std::uint8_t>(value + 128);
  }
  void number16(int column, std::uint16_t half) {
    std::memcpy(group(column) + number_offset(format_, row_, column % kGroupColumns), &half, sizeof(half));
  }
  void scale(int column, std::uint16_t half) {
    std::memcpy(group(column) + scale_offset(format_, row_, column % kGroupColumns), &half, sizeof(half));
  }

 private:
  std::uint8_t* group(int column) const { return tile_ + column / kGroupColumns * group_bytes(format_); }

  PackedFormat format_;
  int row_;
  std::uint8_t* tile_;
};

void pack_q4_0(const std::uint8_t* from, int n_columns, RowPacker& to) {
  for (int column = 0; column < n_columns; column += kBlockColumns, from += kQ4Bytes) {
    to.scale(column, read_half(from));
    for (int i = 0; i < 16; ++i) {
      to.number4(column + i, from[2 + i] & 15);
      to.number4(column + i + 16, from[2 + i] >> 4);
    }
  }
}

void pack_q5_0(const std::uint8_t* from, int n_columns, RowPacker& to) {
  for (int column = 0; column < n_columns; column += kBlockColumns, from += kQ5Bytes) {
    std::uint32_t fifth;
    std::memcpy(&fifth, from + 2, sizeof(fifth));
    for (int half = 0; half < 2; ++half) {
      to.scale(column + 16 * half, read_half(from));
      for (int i = 0; i < 16; ++i) {
        const int low = half == 0 ? from[6 + i] & 15 : from[6 + i] >> 4;
        to.number8(column + 16 * half + i, (low | static_cast<int>(fifth >> (16 * half + i) & 1) << 4) - 16);
      }
    }
  }
}

void pack_q8_0(const std::uint8_t* from, int n_columns, RowPacker& to) {
  for (int column = 0; column < n_columns; column += kBlockColumns, from += kQ8Bytes) {
    to.scale(column, read_half(from));
    to.scale(column + 16, read_half(from));
    for (int i = 0; i < kBlockColumns; ++i) to.number8(column + i, static_cast<std::int8_t>(from[2 + i]));
  }
}

void pack_q6_k(const std::uint8_t* from, int n_columns, RowPacker& to) {
  for (int column = 0; column < n_columns; column += kQ6Columns, from += kQ6Bytes) {
    const float scale = ggml_fp16_to_fp32(read_half(from + 208));
    for (int i = 0; i < 16; ++i) {
      const auto factor = static_cast<float>(static_cast<std::int8_t>(from[192 + i]));
      to.scale(column + 16 * i, ggml_fp32_to_fp16(scale * factor));
    }
    for (int i = 0; i < kQ6Columns; ++i) {
      const int half = i / 128;
      const int quarter = i % 128 / 32;
      const int low = from[half * 64 + i % 32 + quarter % 2 * 32] >> (quarter / 2 * 4) & 15;
      const int high = from[128 + half * 32 + i % 32] >> (quarter * 2) & 3;
      to.number8(column + i, (low | high << 4) - 32);
    }
  }
}

void pack_f16(const std::uint8_t* from, int n_columns, RowPacker& to) {
  for (int column = 0; column < n_columns; ++column) to.number16(column, read_half(from + 2 * column));
}

void pack_row(ggml_type type, const std::uint8_t* from, int n_columns, RowPacker to) {
  switch (type) {
    case GGML_TYPE_Q4_0: return pack_q4_0(from, n_columns, to);
    case GGML_TYPE_Q5_0: return pack_q5_0(from, n_columns, to);
    case GGML_TYPE_Q8_0: return pack_q8_0(from, n_columns, to);
    case GGML_TYPE_Q6_K: return pack_q6_k(from, n_columns, to);
    default: return pack_f16(from, n_columns, to);
  }
}

}  // namespace

std::optional<PackedFormat> packed_format(ggml_type type) noexcept {
  switch (type) {
    case GGML_TYPE_Q4_0: return PackedFormat::w4;
    case GGML_TYPE_Q5_0:
    case GGML_TYPE_Q8_0:
    case GGML_TYPE_Q6_K: return PackedFormat::w8;
    case GGML_TYPE_F16: return PackedFormat::w16;
    default: return std::nullopt;
  }
}

std::size_t packed_bytes(PackedFormat format, std::size_t n_rows, int n_columns) noexcept {
  const std::size_t groups = (static_cast<std::size_t>(n_columns) + kGroupColumns - 1) / kGroupColumns;
  return (n_rows + kTileRows - 1) / kTileRows * groups * group_bytes(format);
}

void pack(const RowList& list, std::span<std::uint8_t> out) {
  const PackedFormat format = *packed_format(list.type);
  const std::size_t tile_bytes = packed_bytes(format, kTileRows, list.n_columns);
  DW_CHECK(out.size() == packed_bytes(format, list.rows.size(), list.n_columns));
  std::ranges::fill(out, std::uint8_t{0});
  const std::size_t n_tiles = out.size() / tile_bytes;
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t tile = next++; tile < n_tiles; tile = next++) {
      for (std::size_t row = 0; row < kTileRows && tile * kTileRows + row < list.rows.size(); ++row) {
        const std::byte* from = list.rows[tile * kTileRows + row];
        if (from == nullptr) continue;
        pack_row(list.type, reinterpret_cast<const std::uint8_t*>(from), list.n_columns,
                 {format, static_cast<int>(row), out.data() + tile * tile_bytes});
      }
    }
  };
  std::vector<std::jthread> helpers;
  const std::size_t n_threads = std::min<std::size_t>(std::max(1U, std::thread::hardware_concurrency()), n_tiles);
  for (std::size_t i = 1; i < n_threads; ++i) helpers.emplace_back(work);
  work();
}

}  // namespace driftwood::cuda
