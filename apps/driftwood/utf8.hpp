// Reading UTF-8 that may be anything (RFC 3629: no surrogates, no overlong forms). Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace driftwood::cli {

struct Utf8Character {
  char32_t code_point = 0;
  std::size_t size = 1;  ///< bytes to go on by, at least 1
  bool valid = false;
};

/// The first character of a text that is not empty. An invalid one is one byte long.
Utf8Character decode_utf8(std::string_view text) noexcept;
/// Characters in a text; each invalid byte counts as one.
std::size_t utf8_length(std::string_view text) noexcept;
/// Bytes of the longest prefix that does not end inside a character.
std::size_t complete_utf8(std::string_view text) noexcept;

}  // namespace driftwood::cli
