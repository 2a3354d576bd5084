// Bytes that come in pieces, given on as whole UTF-8 characters.
//
// A token may end inside a character. The assembler holds such a beginning back until its rest comes. Bytes that can't
// be part of a character become U+FFFD, one for each maximal beginning of a character, as chapter 3.9 of the Unicode
// standard recommends; what comes out is always valid UTF-8, and does not depend on how the bytes were cut into pieces.
// No call to the host; one thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace driftwood::guest {

class Utf8Assembler {
 public:
  /// Appends to `out` the characters that are whole with these bytes.
  void push(std::string_view bytes, std::string& out);
  /// The text is over: a character that is not whole becomes U+FFFD. Ready for the next text then.
  void finish(std::string& out);

 private:
  void push_byte(std::uint8_t byte, std::string& out);
  void begin_character(std::uint8_t byte, std::string& out);

  char held_[4] = {};
  std::uint8_t held_size_ = 0;
  std::uint8_t missing_ = 0;  ///< continuation bytes still to come
  // What the next continuation byte may be: narrower than 80..bf after some first bytes.
  std::uint8_t lowest_ = 0x80;
  std::uint8_t highest_ = 0xbf;
};

}  // namespace driftwood::guest
