#include "memory/image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "memory/few_extents.hpp"
#include "memory/page_ranges.hpp"
#include "memory/region.hpp"

namespace driftwood {
namespace {

constexpr std::size_t kMostCopied = 64 * kMiB;

/// Walks two lists of extents at once and tells, for each stretch in which neither begins or ends, what covers it.
template <typename Visit>
void walk(std::span<const Extent> a, std::span<const Extent> b, Visit visit) {
  std::size_t at = 0;
  while (!a.empty() || !b.empty()) {
    const auto covers = [&](std::span<const Extent> list) {
      return !list.empty() && list.front().range.offset <= at ? &list.front() : nullptr;
    };
    const auto next_edge = [&](std::span<const Extent> list) {
      if (list.empty()) return SIZE_MAX;
      const ByteRange& range = list.front().range;
      return range.offset > at ? range.offset : range.offset + range.size;
    };
    const std::size_t end = std::min(next_edge(a), next_edge(b));
    visit(ByteRange{at, end - at}, covers(a), covers(b));
    at = end;
    const auto ended = [&](std::span<const Extent> list) {
      return !list.empty() && list.front().range.offset + list.front().range.size <= at;
    };
    if (ended(a)) a = a.subspan(1);
    if (ended(b)) b = b.subspan(1);
  }
}

bool same_bytes(std::size_t at, const Extent* a, const Extent* b) {
  if (a == nullptr || b == nullptr) return a == b;
  const LayerPlace in_a = place_of(a->layer, a->layer_offset + (at - a->range.offset));
  const LayerPlace in_b = place_of(b->layer, b->layer_offset + (at - b->range.offset));
  return in_a.file == in_b.file && in_a.offset == in_b.offset;
}

}  // namespace

Result<std::shared_ptr<const Image>> Image::create(std::size_t size, std::span<const Piece> pieces) {
  if (!is_aligned(size, page_size())) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Image size ({}) is not a multiple of the page size ({}).", size, page_size()));
  }
  std::vector<ByteRange> pages;
  for (const Piece& piece : pieces) {
    const ByteRange range{piece.offset, piece.bytes.size()};
    if (!range.within(size)) {
      return fail(ErrorCode::invalid_argument, fmt::format("A piece ({} bytes at {}) does not lie in the image ({}).",
                                                           range.size, range.offset, size));
    }
    if (range.size != 0) pages.push_back(whole_pages(range));
  }
  if (pages.empty()) return compose(size, {});
  pages = merged(std::move(pages), kKeepTogether);

  DW_TRY_ASSIGN(auto file, MemoryFile::create(size));
  for (const Piece& piece : pieces) DW_TRY(file->write(piece.offset, {&piece.bytes, 1}));
  DW_TRY_ASSIGN(const auto layer, Layer::seal(std::move(file), {0, size}));
  std::vector<Extent> extents;
  for (const ByteRange& range : pages) extents.push_back({range, layer, range.offset});
  return compose(size, std::move(extents));
}

Result<std::shared_ptr<const Image>> Image::compose(std::size_t size, std::vector<Extent> extents) {
  std::size_t end = 0;
  for (const Extent& extent : extents) {
    const bool sound = extent.layer != nullptr && extent.range.size != 0 && extent.range.within(size) &&
                       extent.range.offset >= end && is_aligned(extent.range.offset, page_size()) &&
                       is_aligned(extent.range.size, page_size()) && is_aligned(extent.layer_offset, page_size()) &&
                       ByteRange{extent.layer_offset, extent.range.size}.within(extent.layer->size());
    if (!sound) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("An extent ({} bytes at {}) does not fit into an image of {} bytes or its layer, or comes "
                      "before the end of another ({}).",
                      extent.range.size, extent.range.offset, size, end));
    }
    end = extent.range.offset + extent.range.size;
  }
  if (!is_aligned(size, page_size())) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Image size ({}) is not a multiple of the page size ({}).", size, page_size()));
  }
  return std::shared_ptr<const Image>(new Image(size, std::move(extents)));
}

Result<std::shared_ptr<const Image>> Image::in_few_extents(std::shared_ptr<const Image> image) {
  std::vector<ByteRange> ranges;
  for (const Extent& extent : image->extents()) ranges.push_back(extent.range);
  const auto spans = spans_to_copy(ranges, kFewExtents, kMostCopied);
  if (spans.empty()) return image;

  DW_TRY_ASSIGN(auto file, MemoryFile::create(total_size(spans)));
  std::vector<Extent> extents;
  std::size_t offset = 0;  // in the file
  auto next = image->extents().begin();
  for (const ByteRange& span : spans) {
    for (; next->range.offset < span.offset; ++next) extents.push_back(*next);
    for (; next != image->extents().end() && next->range.overlaps(span); ++next) {
      const std::span<const std::byte> bytes(next->view(), next->range.size);
      DW_TRY(file->write(offset + (next->range.offset - span.offset), {&bytes, 1}));
    }
    extents.push_back({span, nullptr, offset});
    offset += span.size;
  }
  extents.insert(extents.end(), next, image->extents().end());
  const ByteRange all{0, file->size()};
  DW_TRY_ASSIGN(const auto layer, Layer::seal(std::move(file), all));
  for (Extent& extent : extents) {
    if (extent.layer == nullptr) extent.layer = layer;
  }
  return compose(image->size(), std::move(extents));
}

void Image::read(ByteRange range, std::span<std::byte> out) const {
  DW_CHECK(range.within(size_) && range.size == out.size());
  if (out.empty()) return;
  std::memset(out.data(), 0, out.size());
  const std::size_t end = range.offset + range.size;
  auto extent = std::ranges::partition_point(
      extents_, [&](const Extent& e) { return e.range.offset + e.range.size <= range.offset; });
  for (; extent != extents_.end() && extent->range.offset < end; ++extent) {
    const std::size_t from = std::max(range.offset, extent->range.offset);
    const std::size_t to = std::min(end, extent->range.offset + extent->range.size);
    std::memcpy(out.data() + (from - range.offset), extent->view() + (from - extent->range.offset), to - from);
  }
}

std::vector<ByteRange> Image::changes_since(const Image& older) const {
  std::vector<ByteRange> changed;
  walk(extents_, older.extents_, [&](ByteRange range, const Extent* now, const Extent* then) {
    if (!same_bytes(range.offset, now, then)) changed.push_back(range);
  });
  return merged(std::move(changed), 0);
}

}  // namespace driftwood
