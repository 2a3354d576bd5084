// How a Region becomes an Image: what was written since the last time turns into Layers.
#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "memory/page_ranges.hpp"
#include "memory/region.hpp"
#include "memory/system_memory.hpp"

namespace driftwood {
namespace {

// A thaw maps each extent by itself, at one to two microseconds each.
constexpr std::size_t kMostExtents = 32;
// Fewer pages than these are as quickly faulted in again.
constexpr std::size_t kMoveFrom = 256 * kKiB;

Result<void> write_all(int fd, std::size_t offset, std::vector<iovec> pieces) {
  std::span<iovec> left = pieces;
  while (!left.empty()) {
    const auto count = static_cast<int>(std::min<std::size_t>(left.size(), IOV_MAX));
    const ssize_t result = pwritev(fd, left.data(), count, static_cast<off_t>(offset));
    if (result < 0 && errno == EINTR) continue;
    if (result <= 0) {
      const int reason = errno;
      return system_memory::refused(reason, "copy pages that were written");
    }
    auto written = static_cast<std::size_t>(result);
    offset += written;
    while (written > 0) {
      const std::size_t step = std::min(written, left.front().iov_len);
      left.front().iov_base = static_cast<std::byte*>(left.front().iov_base) + step;
      left.front().iov_len -= step;
      written -= step;
      if (left.front().iov_len == 0) left = left.subspan(1);
    }
  }
  return {};
}

/// The pages of `bytes` that differ from `sealed`, for systems that do not say which were written.
std::vector<ByteRange> compare(std::span<const std::byte> bytes, const std::byte* sealed, std::size_t offset) {
  std::vector<ByteRange> differing;
  const std::size_t page = page_size();
  for (std::size_t at = 0; at < bytes.size(); at += page) {
    if (std::memcmp(bytes.data() + at, sealed + at, page) != 0) differing.push_back({offset + at, page});
  }
  return merged(std::move(differing), 0);
}

std::size_t sum(std::span<const ByteRange> ranges) {
  std::size_t bytes = 0;
  for (const ByteRange& range : ranges) bytes += range.size;
  return bytes;
}

}  // namespace

Result<std::shared_ptr<const Image>> Region::seal() {
  tell_before_seal();
  const std::lock_guard lock(mutex_);
  if (!pins_.empty()) {
    return fail(ErrorCode::unavailable,
                fmt::format("The memory cannot be sealed while devices hold it ({} imports).", pins_.size()));
  }
  DW_TRY(seal_written());
  DW_TRY(seal_own());
  DW_TRY(flatten());
  std::vector<Extent> extents;
  for (const Segment& segment : segments_) {
    if (segment.layer != nullptr) extents.push_back({segment.range, segment.layer, segment.layer_offset});
  }
  DW_TRY_ASSIGN(image_, Image::compose(size(), std::move(extents)));
  return image_;
}

std::vector<ByteRange> Region::layered(ByteRange within) const {
  std::vector<ByteRange> ranges;
  const std::size_t end = within.offset + within.size;
  for (const Segment& segment : segments_) {
    if (segment.layer == nullptr || !segment.range.overlaps(within)) continue;
    const std::size_t from = std::max(segment.range.offset, within.offset);
    ranges.push_back({from, std::min(segment.range.offset + segment.range.size, end) - from});
  }
  return merged(std::move(ranges), 0);
}

Result<std::vector<ByteRange>> Region::written(ByteRange range) const {
  std::vector<ByteRange> found;
  if (system_memory::can_find_written()) {
    const ByteRange pages = whole_pages(range);
    DW_TRY_ASSIGN(found, system_memory::find_written(base_ + pages.offset, pages.size));
    for (ByteRange& part : found) part.offset += pages.offset;
    return found;
  }
  for (const Segment& segment : segments_) {
    if (segment.layer == nullptr || !segment.range.overlaps(range)) continue;
    const std::size_t from = std::max(segment.range.offset, range.offset);
    const std::size_t to = std::min(segment.range.offset + segment.range.size, range.offset + range.size);
    const std::byte* sealed = segment.layer->view() + segment.layer_offset + (from - segment.range.offset);
    const auto parts = compare({base_ + from, to - from}, sealed, from);
    found.insert(found.end(), parts.begin(), parts.end());
  }
  return merged(std::move(found), 0);
}

Result<ByteRange> Region::place(std::size_t size) {
  std::size_t offset = copies_ == nullptr ? 0 : copies_->size();
  if (copies_ == nullptr || size > copies_->capacity() - offset) {
    DW_TRY_ASSIGN(copies_, MemoryFile::create(0, std::max(options_.reserve, size)));
    offset = 0;
  }
  DW_TRY(copies_->resize(offset + size));
  return ByteRange{offset, size};
}

Result<std::shared_ptr<const Layer>> Region::copy(std::span<const ByteRange> ranges) {
  DW_TRY_ASSIGN(const ByteRange place, this->place(sum(ranges)));
  std::vector<iovec> pieces;
  for (const ByteRange& range : ranges) pieces.push_back({base_ + range.offset, range.size});
  DW_TRY(write_all(copies_->fd(), place.offset, std::move(pieces)));
  return Layer::seal(copies_, place);
}

Result<void> Region::seal_written() {
  std::vector<ByteRange> pages;
  for (const ByteRange& range : layered({0, size()})) {
    DW_TRY_ASSIGN(auto found, written(range));
    found = merged(std::move(found), kKeepTogether);
    pages.insert(pages.end(), found.begin(), found.end());
  }
  if (pages.empty()) return {};
  DW_TRY_ASSIGN(const auto layer, copy(pages));
  std::size_t layer_offset = 0;
  for (const ByteRange& range : pages) {
    DW_TRY(map_layer(range, layer, layer_offset));
    layer_offset += range.size;
  }
  return {};
}

Result<void> Region::seal_own() {
  std::vector<ByteRange> used;
  for (const Segment& segment : segments_) {
    if (segment.layer != nullptr) continue;
    DW_TRY_ASSIGN(auto found, system_memory::data_ranges(file_->fd(), segment.range));
    found = merged(std::move(found), kKeepTogether);
    used.insert(used.end(), found.begin(), found.end());
  }
  for (const ByteRange& range : used) DW_TRY(seal_own(range));
  return {};
}

Result<void> Region::seal_own(ByteRange range) {
  DW_TRY_ASSIGN(LayerView view, make_view(range));
  // Until this call, the range is mapped shared, and a failure leaves it so: only then may a Layer own the pages.
  DW_TRY(system_memory::map_private(base_ + range.offset, range.size, file_->fd(), range.offset));
  record(range, Layer::seal_viewed(file_, range, std::move(view)), 0);
  return {};
}

Result<LayerView> Region::make_view(ByteRange range) const {
  if (range.size < kMoveFrom) return LayerView::map(file_->fd(), range);
  // The page table goes to the view, where the bytes can be read on without a fault; emptying it in its place and
  // filling another would cost more than all the rest. The view is for reading, by its type only: to have the system
  // forbid writes would mean to visit every page, and to interrupt all other cores a second time.
  std::byte* const at = base_ + range.offset;
  DW_TRY_ASSIGN(LayerView view, LayerView::reserve(range.size + system_memory::kMoveAlignment));
  view.advance(static_cast<std::size_t>(at - view.data()) & (system_memory::kMoveAlignment - 1));
  if (system_memory::move_mapping(at, range.size, view.data())) return view;
  return LayerView::map(file_->fd(), range);
}

Result<void> Region::flatten() {
  std::vector<std::size_t> extents;  // indices of segments
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].layer != nullptr) extents.push_back(i);
  }
  if (extents.size() <= kMostExtents) return {};
  // The neighbours that lie nearest to each other become one extent; between them are only zeros.
  const std::size_t count = extents.size() - kMostExtents / 2 + 1;
  ByteRange span{0, SIZE_MAX};
  std::size_t first = 0;
  for (std::size_t i = 0; i + count <= extents.size(); ++i) {
    const ByteRange& low = segments_[extents[i]].range;
    const ByteRange& high = segments_[extents[i + count - 1]].range;
    const ByteRange here{low.offset, high.offset + high.size - low.offset};
    if (here.size < span.size) {
      span = here;
      first = i;
    }
  }
  DW_TRY_ASSIGN(const ByteRange place, this->place(span.size));
  for (std::size_t i = first; i < first + count; ++i) {
    const Segment& segment = segments_[extents[i]];
    auto* bytes = const_cast<std::byte*>(segment.layer->view() + segment.layer_offset);
    DW_TRY(
        write_all(copies_->fd(), place.offset + (segment.range.offset - span.offset), {{bytes, segment.range.size}}));
  }
  DW_TRY_ASSIGN(auto layer, Layer::seal(copies_, place));
  return map_layer(span, std::move(layer), 0);
}

std::vector<Region::CleanPiece> Region::clean_pieces(ByteRange range) const {
  const std::lock_guard lock(mutex_);
  std::vector<CleanPiece> pieces;
  if (!system_memory::can_find_written() || !range.within(size())) return pieces;
  for (const ByteRange& part : layered(range)) {
    auto changed = written(part);
    if (!changed) return {};
    changed->push_back({part.offset + part.size, 0});  // the end
    std::size_t at = part.offset;
    for (const ByteRange& dirty : *changed) {
      add_clean({at, std::max(dirty.offset, at) - at}, pieces);
      at = std::max(at, dirty.offset + dirty.size);
    }
  }
  return pieces;
}

void Region::add_clean(ByteRange range, std::vector<CleanPiece>& pieces) const {
  const std::size_t end = range.offset + range.size;
  for (const Segment& segment : segments_) {
    if (!segment.range.overlaps(range)) continue;
    const std::size_t from = std::max(segment.range.offset, range.offset);
    const std::size_t to = std::min(segment.range.offset + segment.range.size, end);
    const std::byte* at = segment.layer->view() + segment.layer_offset + (from - segment.range.offset);
    if (!pieces.empty()) {
      CleanPiece& last = pieces.back();
      if (last.range.offset + last.range.size == from && last.at + last.range.size == at) {
        last.range.size += to - from;
        continue;
      }
    }
    pieces.push_back({{from, to - from}, at});
  }
}

std::vector<Region::Place> Region::places(ByteRange range) const {
  const std::lock_guard lock(mutex_);
  std::vector<Place> places;
  if (!range.within(size())) return places;
  const auto add = [&places](const Place& place) {
    if (place.range.size == 0) return;
    if (!places.empty()) {
      Place& last = places.back();
      const std::size_t size = last.range.size;
      if (last.range.offset + size == place.range.offset && last.file == place.file &&
          last.file_offset + size == place.file_offset && last.sealed == place.sealed) {
        last.range.size += place.range.size;
        return;
      }
    }
    places.push_back(place);
  };
  const std::size_t end = range.offset + range.size;
  for (const Segment& segment : segments_) {
    if (!segment.range.overlaps(range)) continue;
    const std::size_t from = std::max(segment.range.offset, range.offset);
    const std::size_t to = std::min(segment.range.offset + segment.range.size, end);
    if (segment.layer == nullptr) {
      add({{from, to - from}, file_, from, false});
      continue;
    }
    Result<std::vector<ByteRange>> changed = std::vector<ByteRange>{{from, to - from}};
    if (system_memory::can_find_written()) changed = written({from, to - from});
    if (!changed) return {};
    changed->push_back({to, 0});  // the end
    const std::shared_ptr<const MemoryFile>& memory_file = segment.layer->memory_file();
    std::shared_ptr<const void> file = segment.layer;
    std::size_t shift = segment.layer_offset;
    if (memory_file != nullptr) {
      file = memory_file;
      shift += segment.layer->file_offset();
    }
    std::size_t at = from;
    for (const ByteRange& dirty : *changed) {
      if (dirty.offset > at) add({{at, dirty.offset - at}, file, shift + (at - segment.range.offset), true});
      at = std::max(at, dirty.offset + dirty.size);
    }
  }
  return places;
}

Result<std::size_t> Region::written_bytes(ByteRange range) const {
  const std::lock_guard lock(mutex_);
  const ByteRange pages = whole_pages(range);
  std::size_t bytes = 0;
  for (const ByteRange& part : layered(pages)) {
    DW_TRY_ASSIGN(const auto found, written(part));
    bytes += sum(found);
  }
  for (const Segment& segment : segments_) {
    if (segment.layer != nullptr || !segment.range.overlaps(pages)) continue;
    const std::size_t from = std::max(segment.range.offset, pages.offset);
    const std::size_t to = std::min(segment.range.offset + segment.range.size, pages.offset + pages.size);
    DW_TRY_ASSIGN(const auto found, system_memory::data_ranges(file_->fd(), {from, to - from}));
    bytes += sum(found);
  }
  return bytes;
}

}  // namespace driftwood
