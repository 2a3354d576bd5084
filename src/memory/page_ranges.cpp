#include "memory/page_ranges.hpp"

#include <algorithm>

#include "memory/region.hpp"

namespace driftwood {

ByteRange whole_pages(ByteRange range) noexcept {
  const std::size_t first = range.offset / page_size() * page_size();
  return {first, align_up(range.offset + range.size, page_size()) - first};
}

std::vector<ByteRange> merged(std::vector<ByteRange> ranges, std::size_t gap) {
  std::ranges::sort(ranges, {}, &ByteRange::offset);
  std::vector<ByteRange> joined;
  for (const ByteRange& range : ranges) {
    if (joined.empty() || range.offset > joined.back().offset + joined.back().size + gap) {
      joined.push_back(range);
      continue;
    }
    ByteRange& last = joined.back();
    last.size = std::max(last.offset + last.size, range.offset + range.size) - last.offset;
  }
  return joined;
}

std::size_t total_size(std::span<const ByteRange> ranges) noexcept {
  std::size_t bytes = 0;
  for (const ByteRange& range : ranges) bytes += range.size;
  return bytes;
}

std::vector<ByteRange> clipped(std::span<const ByteRange> ranges, ByteRange within) {
  std::vector<ByteRange> parts;
  const std::size_t end = within.offset + within.size;
  auto range =
      std::ranges::partition_point(ranges, [&](const ByteRange& r) { return r.offset + r.size <= within.offset; });
  for (; range != ranges.end() && range->offset < end; ++range) {
    const std::size_t from = std::max(range->offset, within.offset);
    parts.push_back({from, std::min(range->offset + range->size, end) - from});
  }
  return parts;
}

}  // namespace driftwood
