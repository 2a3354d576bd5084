// Lists of byte ranges in order. Internal to src/memory.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/bytes.hpp"

namespace driftwood {

/// Pages this near to each other are kept in one extent: each extent is a mapping, and a
/// mapping costs more than a few pages that would not have had to be in it.
inline constexpr std::size_t kKeepTogether = 64 * kKiB;

/// The pages that `range` touches.
ByteRange whole_pages(ByteRange range) noexcept;
/// `ranges` sorted, with those joined that overlap, meet, or lie at most `gap` bytes apart.
std::vector<ByteRange> merged(std::vector<ByteRange> ranges, std::size_t gap);
/// Bytes of all together.
std::size_t total_size(std::span<const ByteRange> ranges) noexcept;
/// The parts of `ranges`, which are sorted and do not overlap, that lie in `within`.
std::vector<ByteRange> clipped(std::span<const ByteRange> ranges, ByteRange within);

}  // namespace driftwood
