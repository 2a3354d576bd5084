// Which bytes of a Region were written since the last seal, which are as the Image has them, and where all lie.
#include <algorithm>
#include <cstring>

#include "memory/page_ranges.hpp"
#include "memory/region.hpp"
#include "memory/system_memory.hpp"

namespace driftwood {
namespace {

/// Adds the pages of `bytes` that differ from `sealed`; `offset` is theirs in the Region.
void compare(std::span<const std::byte> bytes, const std::byte* sealed, std::size_t offset,
             std::vector<ByteRange>& differing) {
  const std::size_t page = page_size();
  for (std::size_t at = 0; at < bytes.size(); at += page) {
    if (std::memcmp(bytes.data() + at, sealed + at, page) != 0) differing.push_back({offset + at, page});
  }
}

}  // namespace

std::vector<ByteRange> Region::layered(ByteRange within) const {
  std::vector<ByteRange> ranges;
  const std::size_t end = within.offset + within.size;
  for (const Segment& segment : segments_) {
    if (segment.is_fresh() || !segment.range.overlaps(within)) continue;
    const std::size_t from = std::max(segment.range.offset, within.offset);
    ranges.push_back({from, std::min(segment.range.offset + segment.range.size, end) - from});
  }
  return merged(std::move(ranges), 0);
}

Result<std::vector<ByteRange>> Region::written(ByteRange range) const {
  const ByteRange pages = whole_pages(range);
  const bool can_ask = system_memory::can_find_written();
  // Where a Layer is mapped, the system can tell.
  std::size_t first = pages.offset + pages.size;
  std::size_t end = first;
  for (const Segment& segment : segments_) {
    if (segment.pages != Pages::layer || !segment.range.overlaps(pages)) continue;
    first = std::min(first, std::max(segment.range.offset, pages.offset));
    end = std::min(segment.range.offset + segment.range.size, pages.offset + pages.size);
  }
  std::vector<ByteRange> copied;
  if (can_ask && first < end) {
    DW_TRY_ASSIGN(copied, system_memory::find_written(base_ + first, end - first));
    for (ByteRange& part : copied) part.offset += first;
  }
  std::vector<ByteRange> found;
  for (const Segment& segment : segments_) {
    if (segment.is_fresh() || !segment.range.overlaps(pages)) continue;
    const std::size_t from = std::max(segment.range.offset, pages.offset);
    const std::size_t to = std::min(segment.range.offset + segment.range.size, pages.offset + pages.size);
    if (segment.layer == nullptr) {
      found.push_back({from, to - from});
    } else if (can_ask && segment.pages == Pages::layer) {
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

std::vector<ByteRange> Region::owned(ByteRange range) const {
  const std::lock_guard lock(mutex_);
  if (!system_memory::can_find_written()) return {range};
  std::vector<ByteRange> owned;
  for (const ByteRange& part : layered(range)) {
    const auto changed = written(part);
    if (!changed) return {range};
    owned.insert(owned.end(), changed->begin(), changed->end());
  }
  for (const Segment& segment : segments_) {
    if (segment.pages != Pages::layer && segment.range.overlaps(range)) owned.push_back(segment.range);
  }
  return clipped(merged(std::move(owned), 0), range);
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
    if (segment.layer == nullptr || segment.pages == Pages::own) {
      add({{from, to - from}, segment.pages == Pages::moved ? moved_ : file_, from, false});
      continue;
    }
    Result<std::vector<ByteRange>> changed = std::vector<ByteRange>{{from, to - from}};
    if (system_memory::can_find_written()) changed = written({from, to - from});
    if (!changed) return {};
    changed->push_back({to, 0});  // the end
    const LayerPlace place = place_of(segment.layer, segment.layer_offset + (from - segment.range.offset));
    std::size_t at = from;
    for (const ByteRange& dirty : *changed) {
      if (dirty.offset > at) add({{at, dirty.offset - at}, place.file, place.offset + (at - from), true});
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
    bytes += total_size(found);
  }
  for (const Segment& segment : segments_) {
    if (!segment.is_fresh() || !segment.range.overlaps(pages)) continue;
    const std::size_t from = std::max(segment.range.offset, pages.offset);
    const std::size_t to = std::min(segment.range.offset + segment.range.size, pages.offset + pages.size);
    DW_TRY_ASSIGN(const auto found, system_memory::data_ranges(file_->fd(), {from, to - from}));
    bytes += total_size(found);
  }
  return bytes;
}

}  // namespace driftwood
