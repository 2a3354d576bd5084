// How fresh pages of a Region's own file are sealed: where they are, and runs of them that grow as one.
#include <algorithm>
#include <ranges>

#include "memory/page_ranges.hpp"
#include "memory/region.hpp"
#include "memory/system_memory.hpp"

namespace driftwood {
namespace {

// Fewer pages than these are as quickly faulted in again.
constexpr std::size_t kMoveFrom = 256 * kKiB;
// Holes between written pages that are sealed with them, at the price of a copy when they are written later: to look
// for smaller ones takes longer.
constexpr std::size_t kSmallHole = 128 * kKiB;

}  // namespace

Result<Region::OwnUse> Region::find_own_use() const {
  OwnUse use;
  const Segment* before = nullptr;
  for (const Segment& segment : segments_) {
    const Segment* const tail = before != nullptr && before->is_tail() ? before : nullptr;
    before = &segment;
    if (!segment.is_fresh()) continue;
    DW_TRY_ASSIGN(auto found, system_memory::data_ranges(file_->fd(), segment.range, kSmallHole));
    for (ByteRange run : merged(std::move(found), kKeepTogether)) {
      if (tail != nullptr && run.offset == segment.range.offset) {
        use.continued.push_back(tail->range);
        run = {tail->range.offset, tail->range.size + run.size};
      }
      const std::size_t end = run.offset + run.size;
      const bool has_room = end < segment.range.offset + segment.range.size;
      if (has_room && continues_own(run.offset)) {
        run.size -= page_size();
        use.tails.push_back({end - page_size(), page_size()});
      }
      if (run.size != 0) use.runs.push_back(run);
    }
  }
  return use;
}

bool Region::continues_own(std::size_t offset) const {
  const auto after =
      std::ranges::partition_point(segments_, [&](const Segment& s) { return s.range.offset + s.range.size < offset; });
  if (after == segments_.end() || after->range.offset + after->range.size != offset) return false;
  return after->pages == Pages::layer && after->layer->memory_file() == file_;
}

Result<void> Region::seal_own(ByteRange run) {
  DW_TRY_ASSIGN(const std::byte* const at, view_own(run));
  // Until this call, the run is mapped shared, and a failure leaves it so: only then may a Layer own the pages.
  const ByteRange mapped = with_empty_table(run);
  DW_TRY(system_memory::map_private(base_ + mapped.offset, mapped.size, file_->fd(), mapped.offset));
  record({.range = run, .pages = Pages::layer, .layer = Layer::seal_viewed(file_, run, own_view_, at)});
  return {};
}

Result<const std::byte*> Region::view_own(ByteRange range) {
  const std::size_t end = range.offset + range.size;
  if (end > own_view_size_) {
    // Room to grow: what lies in one view can become one Layer.
    const std::size_t size = std::max(end, std::min(2 * this->size(), reserved()));
    DW_TRY_ASSIGN(LayerView view, LayerView::reserve(size + system_memory::kMoveAlignment));
    view.advance(static_cast<std::size_t>(base_ - view.data()) & (system_memory::kMoveAlignment - 1));
    own_view_ = std::make_shared<const LayerView>(std::move(view));
    own_view_size_ = size;
  }
  // The page table goes to the view, where the bytes can be read on without a fault; emptying it in its place and
  // filling another would cost more than all the rest. The view is for reading, by its type only: to have the system
  // forbid writes would mean to visit every page, and to interrupt all other cores a second time.
  std::byte* const from = base_ + range.offset;
  std::byte* const at = own_view_->data() + range.offset;
  if (range.size >= kMoveFrom && system_memory::move_mapping(from, range.size, at)) return at;
  DW_TRY(system_memory::map_shared(at, range.size, file_->fd(), range.offset));
  return at;
}

ByteRange Region::with_empty_table(ByteRange run) const {
  // A page table whose pages have all moved stays, and is walked through by every later seal, unless one mapping
  // replaces all that it is for.
  const auto address = reinterpret_cast<std::uintptr_t>(base_) + run.offset;
  const std::size_t before = std::min<std::size_t>(address & (system_memory::kMoveAlignment - 1), run.offset);
  std::size_t begin = run.offset;
  for (const Segment& segment : std::views::reverse(segments_)) {
    if (segment.range.offset >= begin) continue;
    if (begin == run.offset - before || !continues_own(begin)) break;
    begin = std::max(segment.range.offset, run.offset - before);
  }
  return {begin, run.offset + run.size - begin};
}

}  // namespace driftwood
