// How a Region becomes an Image: what was written since the last time turns into Layers.
#include <fmt/format.h>

#include <algorithm>
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
// Holes between written pages that are sealed with them, at the price of a copy when they are written later: to look
// for smaller ones takes longer.
constexpr std::size_t kSmallHole = 128 * kKiB;
// An emulator's pages of 16 or 64 KiB consist of such ones, and only those that are written are copied.
constexpr std::size_t kSmallestPage = 4 * kKiB;
// Pages left in place that have not changed since are compared at each seal, and held twice.
constexpr std::size_t kMostUnchanged = 64 * kKiB;

/// Adds the pages of `bytes` that differ from `sealed`; `offset` is theirs in the Region.
void compare(std::span<const std::byte> bytes, const std::byte* sealed, std::size_t offset,
             std::vector<ByteRange>& differing) {
  const std::size_t page = page_size();
  for (std::size_t at = 0; at < bytes.size(); at += page) {
    if (std::memcmp(bytes.data() + at, sealed + at, page) != 0) differing.push_back({offset + at, page});
  }
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
  ++seals_;
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
    if (segment.is_own() || !segment.range.overlaps(within)) continue;
    const std::size_t from = std::max(segment.range.offset, within.offset);
    ranges.push_back({from, std::min(segment.range.offset + segment.range.size, end) - from});
  }
  return merged(std::move(ranges), 0);
}

Result<std::vector<ByteRange>> Region::written(ByteRange range) const {
  const ByteRange pages = whole_pages(range);
  const bool can_ask = system_memory::can_find_written();
  std::vector<ByteRange> copied;
  if (can_ask) {
    DW_TRY_ASSIGN(copied, system_memory::find_written(base_ + pages.offset, pages.size));
    for (ByteRange& part : copied) part.offset += pages.offset;
  }
  std::vector<ByteRange> found;
  for (const Segment& segment : segments_) {
    if (segment.is_own() || !segment.range.overlaps(pages)) continue;
    const std::size_t from = std::max(segment.range.offset, pages.offset);
    const std::size_t to = std::min(segment.range.offset + segment.range.size, pages.offset + pages.size);
    if (segment.layer == nullptr) {
      found.push_back({from, to - from});
    } else if (can_ask && !segment.in_place) {
      const auto parts = clipped(copied, {from, to - from});
      found.insert(found.end(), parts.begin(), parts.end());
    } else {
      // The system has nothing to tell, or only that the page was copied before it was sealed.
      const std::byte* sealed = segment.layer->view() + segment.layer_offset + (from - segment.range.offset);
      compare({base_ + from, to - from}, sealed, from, found);
    }
  }
  return merged(std::move(found), 0);
}

Result<std::shared_ptr<CopyFile>> Region::copies_for(std::size_t size) {
  if (copies_ == nullptr || !copies_->has_room(size)) {
    if (copies_ != nullptr) copies_->close();
    DW_TRY_ASSIGN(copies_, CopyFile::create(std::max(options_.reserve, size)));
  }
  return copies_;
}

Result<std::shared_ptr<const Layer>> Region::copy(std::span<const ByteRange> ranges) {
  const std::size_t size = sum(ranges);
  DW_TRY_ASSIGN(auto file, copies_for(size));
  DW_TRY_ASSIGN(CopyFile::Place place, file->take(size));
  std::vector<std::span<const std::byte>> pieces;
  for (const ByteRange& range : ranges) pieces.emplace_back(base_ + range.offset, range.size);
  if (auto written = file->write(place, 0, pieces); !written) {
    file->give_back(std::move(place));
    return std::unexpected(std::move(written).error());
  }
  return Layer::seal_copy(std::move(file), std::move(place), size);
}

Result<void> Region::seal_written() {
  // What is written at every turn (stack, globals, logits) in one Layer, whose place is free again when the next has
  // taken over; what is new (the page in which rows of tokens go on) in another, which stays.
  std::vector<ByteRange> again;
  std::vector<ByteRange> anew;
  for (const ByteRange& range : layered({0, size()})) {
    DW_TRY_ASSIGN(auto changed, written(range));
    for (const ByteRange& part : merged(std::move(changed), kKeepTogether)) {
      (is_in_place(part) ? again : anew).push_back(part);
    }
  }
  DW_TRY(seal_in_place(again));
  DW_TRY(seal_in_place(anew));
  return settle();
}

bool Region::is_in_place(ByteRange range) const {
  return std::ranges::any_of(segments_,
                             [&](const Segment& segment) { return segment.in_place && segment.range.overlaps(range); });
}

Result<void> Region::seal_in_place(std::span<const ByteRange> pages) {
  if (pages.empty()) return {};
  DW_TRY_ASSIGN(const auto layer, copy(pages));
  std::size_t layer_offset = 0;
  for (const ByteRange& range : pages) {
    own_pages(range);
    const std::vector<ByteRange> moved = moved_in(range);
    record({.range = range, .layer = layer, .layer_offset = layer_offset, .in_place = true, .sealed_at = seals_});
    for (const ByteRange& part : moved) {
      record({.range = part,
              .layer = layer,
              .layer_offset = layer_offset + (part.offset - range.offset),
              .in_place = true,
              .sealed_at = seals_,
              .moved = true});
    }
    layer_offset += range.size;
  }
  return {};
}

void Region::own_pages(ByteRange range) noexcept {
  for (std::size_t at = range.offset; at < range.offset + range.size; at += kSmallestPage) {
    // A write of what is there already has the system copy the page, unless it did so before.
    volatile std::byte* const first = base_ + at;
    *first = *first;
  }
}

Result<void> Region::settle() {
  std::vector<Segment> unchanged;
  std::size_t bytes = 0;
  for (const Segment& segment : segments_) {
    if (!segment.in_place || segment.sealed_at == seals_) continue;
    unchanged.push_back(segment);
    bytes += segment.range.size;
  }
  if (bytes <= kMostUnchanged) return {};
  for (Segment& segment : unchanged) {
    DW_TRY(map_layer(segment.range, std::move(segment.layer), segment.layer_offset));
  }
  return {};
}

Result<void> Region::seal_own() {
  std::vector<ByteRange> used;
  for (const Segment& segment : segments_) {
    if (!segment.is_own()) continue;
    DW_TRY_ASSIGN(auto found, system_memory::data_ranges(file_->fd(), segment.range, kSmallHole));
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
  record({.range = range, .layer = Layer::seal_viewed(file_, range, std::move(view))});
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
  DW_TRY_ASSIGN(auto file, copies_for(span.size));
  DW_TRY_ASSIGN(CopyFile::Place place, file->take_fresh(span.size));
  for (std::size_t i = first; i < first + count; ++i) {
    const Segment& segment = segments_[extents[i]];
    const std::span<const std::byte> bytes(segment.layer->view() + segment.layer_offset, segment.range.size);
    if (auto written = file->write(place, segment.range.offset - span.offset, {&bytes, 1}); !written) {
      file->give_back(std::move(place));
      return written;
    }
  }
  return map_layer(span, Layer::seal_copy(std::move(file), std::move(place), span.size), 0);
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
      add({{from, to - from}, segment.moved ? moved_ : file_, from, false});
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
    if (!segment.is_own() || !segment.range.overlaps(pages)) continue;
    const std::size_t from = std::max(segment.range.offset, pages.offset);
    const std::size_t to = std::min(segment.range.offset + segment.range.size, pages.offset + pages.size);
    DW_TRY_ASSIGN(const auto found, system_memory::data_ranges(file_->fd(), {from, to - from}));
    bytes += sum(found);
  }
  return bytes;
}

}  // namespace driftwood
