// Numbers as little-endian bytes, on any machine. Internal to src/snapshot.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "core/hash.hpp"

namespace driftwood {

template <std::unsigned_integral T>
void append_number(std::vector<std::byte>& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

inline void append_bytes(std::vector<std::byte>& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// Takes numbers and hashes from the front of bytes that the caller has checked to be long enough.
class LittleEndianReader {
 public:
  explicit LittleEndianReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::size_t left() const noexcept { return bytes_.size(); }
  std::span<const std::byte> take(std::size_t size) {
    DW_CHECK(size <= bytes_.size());
    const auto taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  template <std::unsigned_integral T>
  T number() {
    T value = 0;
    const auto bytes = take(sizeof(T));
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(std::to_integer<T>(bytes[i]) << (8 * i));
    return value;
  }
  Hash hash() {
    Hash value;
    const auto bytes = take(value.bytes.size());
    std::memcpy(value.bytes.data(), bytes.data(), bytes.size());
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace driftwood
