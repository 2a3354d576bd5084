// What libllama's byte-level BPE must be shielded from in a text that anybody may have written.
//
// Its pre-tokenizers are std::regex for many vocabularies, which recurses for each
// character of a match: some 100,000 letters in a row overflow a thread's stack. And
// each invalid byte costs it an exception. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace driftwood {

/// Characters of the longest stretch of white space, or of anything else: no match is longer than two of these.
std::size_t longest_run(std::string_view text) noexcept;

/// The text with each invalid byte made U+FFFD, as libllama would; nothing if all of it is valid.
std::optional<std::string> replace_invalid_utf8(std::string_view text);

/// Runs that fit into a stack that every thread has, and the longest that are taken at all.
inline constexpr std::size_t kShortRun = 512;
inline constexpr std::size_t kLongestRun = 65536;

/// Calls `call` on a thread whose stack holds two matches of kLongestRun characters, and waits.
/// unavailable: the system gives no thread. `call` must not throw.
Result<void> with_deep_stack(const std::function<void()>& call);

}  // namespace driftwood
