#include "model/text_guard.hpp"

#include <algorithm>

#include "core/bytes.hpp"
#include "core/thread.hpp"

namespace driftwood {
namespace {

// Seen: about 330 bytes for each character with GCC 12's library.
constexpr std::size_t kStackPerCharacter = 1024;
constexpr std::size_t kDeepStack = 2 * kLongestRun * kStackPerCharacter + kMiB;

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool is_continuation(char c) noexcept { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Bytes of the character that `text` begins with; 0 when its first byte is invalid.
/// Overlong forms and surrogates pass, as they do in libllama.
std::size_t character_size(std::string_view text) noexcept {
  const auto lead = static_cast<unsigned char>(text[0]);
  std::size_t size = 0;
  if (lead < 0x80) return 1;
  if (lead >= 0xC0 && lead < 0xE0) size = 2;
  if (lead >= 0xE0 && lead < 0xF0) size = 3;
  if (lead >= 0xF0 && lead < 0xF5) size = 4;
  if (size == 0 || text.size() < size) return 0;
  if (!std::ranges::all_of(text.substr(1, size - 1), is_continuation)) return 0;
  // Beyond U+10FFFF, where libllama throws.
  if (lead == 0xF4 && static_cast<unsigned char>(text[1]) >= 0x90) return 0;
  return size;
}

}  // namespace

std::size_t longest_run(std::string_view text) noexcept {
  std::size_t longest = 0;
  std::size_t run = 0;
  bool in_space = false;
  for (const char c : text) {
    if (is_continuation(c)) continue;
    if (is_space(c) != in_space) {
      in_space = !in_space;
      run = 0;
    }
    longest = std::max(longest, ++run);
  }
  return longest;
}

std::optional<std::string> replace_invalid_utf8(std::string_view text) {
  std::optional<std::string> replaced;
  std::size_t offset = 0;
  while (offset < text.size()) {
    const std::size_t size = character_size(text.substr(offset));
    if (size == 0 && !replaced) replaced = std::string(text.substr(0, offset));
    if (replaced) *replaced += size == 0 ? kReplacement : text.substr(offset, size);
    offset += std::max<std::size_t>(size, 1);
  }
  return replaced;
}

Result<void> with_deep_stack(const std::function<void()>& call) {
  DW_TRY_ASSIGN(Thread thread, Thread::start(kDeepStack, call));
  thread.join();
  return {};
}

}  // namespace driftwood
