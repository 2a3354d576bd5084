#include "utf8.hpp"

#include <algorithm>

namespace driftwood::cli {
namespace {

/// Bytes of the character that starts with `lead`; 0 where none does.
std::size_t sequence_size(unsigned char lead) noexcept {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  if (lead >= 0xF0 && lead < 0xF5) return 4;
  return 0;
}

}  // namespace

Utf8Character decode_utf8(std::string_view text) noexcept {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t size = sequence_size(lead);
  if (size == 0 || size > text.size()) return {};
  if (size == 1) return {lead, 1, true};
  char32_t code_point = lead & (0xFFU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xC0U) != 0x80U) return {};
    code_point = (code_point << 6U) | (next & 0x3FU);
  }
  static constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code_point >= 0xD800 && code_point < 0xE000;
  if (code_point < kSmallest[size] || code_point > 0x10FFFF || surrogate) return {};
  return {code_point, size, true};
}

std::size_t utf8_length(std::string_view text) noexcept {
  std::size_t length = 0;
  while (!text.empty()) {
    text.remove_prefix(decode_utf8(text).size);
    ++length;
  }
  return length;
}

std::size_t complete_utf8(std::string_view text) noexcept {
  const std::size_t longest = std::min<std::size_t>(3, text.size());
  for (std::size_t back = 1; back <= longest; ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (sequence_size(byte) > back) return text.size() - back;
    if ((byte & 0xC0U) != 0x80U) break;
  }
  return text.size();
}

}  // namespace driftwood::cli
