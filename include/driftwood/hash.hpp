// SHA-256 digests: the names of programs, models and snapshots by their content. Values; any thread.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <string>
#include <string_view>

#include <driftwood/error.hpp>

namespace driftwood {

/// A SHA-256 digest (FIPS 180-4).
struct Hash {
  std::array<std::byte, 32> bytes{};

  friend bool operator==(const Hash&, const Hash&) = default;
  friend auto operator<=>(const Hash&, const Hash&) = default;

  /// 64 lower-case hexadecimal digits.
  std::string to_hex() const {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string hex;
    hex.reserve(2 * bytes.size());
    for (const std::byte b : bytes) {
      hex += kDigits[std::to_integer<std::size_t>(b) >> 4];
      hex += kDigits[std::to_integer<std::size_t>(b) & 15];
    }
    return hex;
  }

  /// invalid_argument: not 64 digits, or other characters.
  static Result<Hash> from_hex(std::string_view hex) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    Hash hash;
    if (hex.size() != 2 * hash.bytes.size()) {
      return std::unexpected(Error{ErrorCode::invalid_argument,
                                   "A hash has 64 hexadecimal digits, this one has " + std::to_string(hex.size()) + ".",
                                   {}});
    }
    for (std::size_t i = 0; i < hash.bytes.size(); ++i) {
      const std::size_t high = kDigits.find(hex[2 * i]);
      const std::size_t low = kDigits.find(hex[2 * i + 1]);
      if (high == std::string_view::npos || low == std::string_view::npos) {
        return std::unexpected(
            Error{ErrorCode::invalid_argument,
                  "A hash has lower-case hexadecimal digits only, not \"" + std::string(hex.substr(2 * i, 2)) + "\".",
                  {}});
      }
      hash.bytes[i] = static_cast<std::byte>(high * 16 + low);
    }
    return hash;
  }
};

}  // namespace driftwood
