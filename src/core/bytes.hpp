// Byte ranges and the arithmetic on them that cannot wrap round.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace driftwood {

inline constexpr std::size_t kKiB = std::size_t{1} << 10;
inline constexpr std::size_t kMiB = std::size_t{1} << 20;
inline constexpr std::size_t kGiB = std::size_t{1} << 30;

/// A half-open range of bytes [offset, offset + size), relative to something named by its user.
struct ByteRange {
  std::size_t offset = 0;
  std::size_t size = 0;

  friend bool operator==(const ByteRange&, const ByteRange&) = default;

  /// True when the range lies in [0, limit), without overflow.
  constexpr bool within(std::size_t limit) const noexcept { return offset <= limit && size <= limit - offset; }
  /// True when both ranges are not empty and share a byte. Both must be `within` some limit.
  constexpr bool overlaps(const ByteRange& other) const noexcept {
    return size != 0 && other.size != 0 && offset < other.offset + other.size && other.offset < offset + size;
  }
};

/// a * b, or nothing when it does not fit.
constexpr std::optional<std::size_t> checked_mul(std::size_t a, std::size_t b) noexcept {
  std::size_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// a + b, or nothing when it does not fit.
constexpr std::optional<std::size_t> checked_add(std::size_t a, std::size_t b) noexcept {
  std::size_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

constexpr bool is_aligned(std::size_t value, std::size_t alignment) noexcept { return value % alignment == 0; }

/// The next multiple of `alignment` (a power of two); `value` must be at most SIZE_MAX - alignment.
constexpr std::size_t align_up(std::size_t value, std::size_t alignment) noexcept {
  return (value + alignment - 1) & ~(alignment - 1);
}

/// "98.4 MB", "512 B": decimal units with one digit, for people.
std::string format_bytes(std::uint64_t bytes);

}  // namespace driftwood
