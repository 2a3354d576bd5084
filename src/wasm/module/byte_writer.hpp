// Builds the bytes of a module. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace driftwood {

class ByteWriter {
 public:
  void byte(std::uint8_t value) { bytes_.push_back(static_cast<std::byte>(value)); }
  /// Unsigned LEB128.
  void leb(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) byte(static_cast<std::uint8_t>(value | 0x80u));
    byte(static_cast<std::uint8_t>(value));
  }
  void append(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  /// A length and as many bytes.
  void sized(std::span<const std::byte> bytes) {
    leb(bytes.size());
    append(bytes);
  }
  void name(std::string_view text) { sized(std::as_bytes(std::span(text))); }

  std::size_t size() const noexcept { return bytes_.size(); }
  /// Dies with the next call that adds bytes.
  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  std::vector<std::byte> take() noexcept { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace driftwood
