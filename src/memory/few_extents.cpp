#include "memory/few_extents.hpp"

#include <algorithm>

namespace driftwood {

std::vector<ByteRange> spans_to_copy(std::span<const ByteRange> extents, std::size_t most, std::size_t bytes) {
  if (extents.size() <= most) return {};
  struct Pair {
    std::size_t span;
    std::size_t first;
  };
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i + 1 < extents.size(); ++i) {
    pairs.push_back({extents[i + 1].offset + extents[i + 1].size - extents[i].offset, i});
  }
  std::ranges::sort(pairs, {}, &Pair::span);
  std::vector<bool> goes_with_next(extents.size());
  for (const Pair& pair : std::span(pairs).first(extents.size() - most)) {
    if (pair.span > bytes) break;
    bytes -= pair.span;
    goes_with_next[pair.first] = true;
  }
  std::vector<ByteRange> spans;
  for (std::size_t first = 0; first < extents.size(); ++first) {
    const std::size_t begin = extents[first].offset;
    const bool alone = !goes_with_next[first];
    while (goes_with_next[first]) ++first;
    if (!alone) spans.push_back({begin, extents[first].offset + extents[first].size - begin});
  }
  return spans;
}

}  // namespace driftwood
