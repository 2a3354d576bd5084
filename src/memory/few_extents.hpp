// Which extents become one where there are too many. Internal to src/memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/bytes.hpp"

namespace driftwood {

/// What to copy into one extent each so that no more than `most` extents are left: the smallest neighbours, with what
/// lies between them. `extents` are in order and do not overlap. No more than `bytes` are named, even where more
/// extents are left then.
std::vector<ByteRange> spans_to_copy(std::span<const ByteRange> extents, std::size_t most,
                                     std::size_t bytes = SIZE_MAX);

}  // namespace driftwood
