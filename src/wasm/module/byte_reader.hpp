// A cursor over the bytes of a module that never leaves them.
//
// After a read that does not fit, failed() is true for good and every further read
// gives zero or nothing: callers loop while !at_end() and ask failed() once. One
// thread at a time; borrows the bytes.
// Formats: https://webassembly.github.io/spec/core/binary/values.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace driftwood {

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  bool failed() const noexcept { return failed_; }
  /// True when nothing is left, or a read failed.
  bool at_end() const noexcept { return position_ == bytes_.size(); }
  /// Offset of the next byte.
  std::size_t position() const noexcept { return position_; }

  std::uint8_t byte() noexcept;
  /// Unsigned LEB128 of at most 32 bits.
  std::uint32_t u32() noexcept { return static_cast<std::uint32_t>(unsigned_leb(32)); }
  std::uint64_t u64() noexcept { return unsigned_leb(64); }
  /// Signed LEB128, such as an s33 block type or an i64 constant, of at most 64 bits.
  std::int64_t signed_leb() noexcept;
  /// `count` bytes, which die with the module's.
  std::span<const std::byte> take(std::size_t count) noexcept;
  /// A length and as many bytes.
  std::span<const std::byte> sized() noexcept { return take(u32()); }
  std::string_view name() noexcept;
  void skip(std::size_t count) noexcept { take(count); }
  /// Makes this reader a failed one.
  void fail() noexcept;

 private:
  std::uint64_t unsigned_leb(unsigned bits) noexcept;

  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
  bool failed_ = false;
};

}  // namespace driftwood
