// How a Region becomes an Image: what was written since the last time turns into Layers.
#include <fmt/format.h>

#include <algorithm>

#include "memory/page_ranges.hpp"
#include "memory/region.hpp"
#include "memory/system_memory.hpp"

namespace driftwood {
namespace {

// An emulator's pages of 16 or 64 KiB consist of such ones, and only those that are written are copied.
constexpr std::size_t kSmallestPage = 4 * kKiB;
// Pages left in place that have not changed since are compared at each seal, and held twice.
constexpr std::size_t kMostUnchanged = 64 * kKiB;

}  // namespace

Result<std::shared_ptr<const Image>> Region::seal() {
  const auto observers = this->observers();
  for (const auto& observer : observers) observer->before_seal(*this);
  auto image = seal_now();
  if (!image) return image;
  for (const auto& observer : observers) observer->after_seal(*this);
  return image;
}

Result<std::shared_ptr<const Image>> Region::seal_now() {
  const std::lock_guard lock(mutex_);
  if (!pins_.empty()) {
    return fail(ErrorCode::unavailable,
                fmt::format("The memory cannot be sealed while devices hold it ({} imports).", pins_.size()));
  }
  ++seals_;
  DW_TRY_ASSIGN(const OwnUse own, find_own_use());
  for (const ByteRange& tail : own.continued) record({.range = tail});
  DW_TRY(seal_written(own));
  for (const ByteRange& run : own.runs) DW_TRY(seal_own(run));
  join_neighbours();
  DW_TRY(flatten());
  std::vector<Extent> extents;
  for (const Segment& segment : segments_) {
    if (segment.layer != nullptr) extents.push_back({segment.range, segment.layer, segment.layer_offset});
  }
  DW_TRY_ASSIGN(image_, Image::compose(size(), std::move(extents)));
  return image_;
}

Result<std::shared_ptr<CopyFile>> Region::copies_for(std::size_t size) {
  if (copies_ == nullptr || !copies_->has_room(size)) {
    if (copies_ != nullptr) copies_->close();
    DW_TRY_ASSIGN(copies_, CopyFile::create(std::max(options_.reserve, size)));
  }
  return copies_;
}

Result<std::shared_ptr<const Layer>> Region::copy(std::span<const ByteRange> ranges) {
  const std::size_t size = total_size(ranges);
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

Result<void> Region::seal_written(const OwnUse& own) {
  // What is written at every turn (stack, globals, logits, the page in which rows go on) in one Layer, whose place is
  // free again when the next has taken over; what is new in another, which stays.
  std::vector<ByteRange> again = own.tails;
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
  return std::ranges::any_of(
      segments_, [&](const Segment& segment) { return segment.in_place() && segment.range.overlaps(range); });
}

Result<void> Region::seal_in_place(std::span<const ByteRange> pages) {
  if (pages.empty()) return {};
  DW_TRY_ASSIGN(const auto layer, copy(pages));
  std::size_t layer_offset = 0;
  for (const ByteRange& range : pages) {
    own_pages(range);
    const std::vector<Segment> in_files = shared_in(range);
    Segment sealed{
        .range = range, .pages = Pages::copied, .layer = layer, .layer_offset = layer_offset, .sealed_at = seals_};
    record(sealed);
    for (const Segment& part : in_files) {
      sealed.range = part.range;
      sealed.pages = part.pages;
      sealed.layer_offset = layer_offset + (part.range.offset - range.offset);
      record(sealed);
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
    if (!segment.in_place() || segment.is_tail() || segment.sealed_at == seals_) continue;
    unchanged.push_back(segment);
    bytes += segment.range.size;
  }
  if (bytes <= kMostUnchanged) return {};
  for (Segment& segment : unchanged) {
    DW_TRY(map_layer(segment.range, std::move(segment.layer), segment.layer_offset));
  }
  return {};
}

}  // namespace driftwood
