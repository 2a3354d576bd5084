#include "driftwood/utf8.hpp"

namespace driftwood::guest {
namespace {
constexpr std::string_view kReplacement = "\xef\xbf\xbd";
}  // namespace

void Utf8Assembler::push(std::string_view bytes, std::string& out) {
  for (const char c : bytes) push_byte(static_cast<std::uint8_t>(c), out);
}

void Utf8Assembler::finish(std::string& out) {
  if (missing_ != 0) out += kReplacement;
  held_size_ = 0;
  missing_ = 0;
}

void Utf8Assembler::push_byte(std::uint8_t byte, std::string& out) {
  if (missing_ == 0) return begin_character(byte, out);
  if (byte < lowest_ || byte > highest_) {
    finish(out);
    return begin_character(byte, out);
  }
  held_[held_size_++] = static_cast<char>(byte);
  lowest_ = 0x80;
  highest_ = 0xbf;
  if (--missing_ == 0) {
    out.append(held_, held_size_);
    held_size_ = 0;
  }
}

void Utf8Assembler::begin_character(std::uint8_t byte, std::string& out) {
  if (byte < 0x80) {
    out += static_cast<char>(byte);
    return;
  }
  if (byte < 0xc2 || byte > 0xf4) {  // a continuation byte, or what would be overlong or past U+10FFFF
    out += kReplacement;
    return;
  }
  missing_ = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
  lowest_ = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;   // no overlong forms
  highest_ = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;  // no surrogates, nothing past U+10FFFF
  held_[0] = static_cast<char>(byte);
  held_size_ = 1;
}

}  // namespace driftwood::guest
