// How the list of a Region's Layers is kept short.
#include "memory/few_extents.hpp"
#include "memory/region.hpp"

namespace driftwood {
namespace {

// A thaw maps each extent by itself, at one to two microseconds each.
constexpr std::size_t kMostExtents = 32;

}  // namespace

void Region::join_neighbours() {
  for (std::size_t i = segments_.size(); i-- > 1;) {
    Segment& low = segments_[i - 1];
    const Segment& high = segments_[i];
    if (low.pages != Pages::layer || high.pages != Pages::layer || low.layer->joins() != high.layer->joins()) continue;
    auto joined =
        Layer::join(low.layer, {low.layer_offset, low.range.size}, high.layer, {high.layer_offset, high.range.size});
    if (joined == nullptr) continue;
    low.range.size += high.range.size;
    low.layer = std::move(joined);
    low.layer_offset = 0;
    segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

Result<void> Region::flatten() {
  std::vector<ByteRange> extents;
  for (const Segment& segment : segments_) {
    if (segment.layer != nullptr) extents.push_back(segment.range);
  }
  if (extents.size() <= kMostExtents) return {};
  for (const ByteRange& span : spans_to_copy(extents, kMostExtents / 2)) DW_TRY(flatten(span));
  return {};
}

Result<void> Region::flatten(ByteRange span) {
  DW_TRY_ASSIGN(auto file, copies_for(span.size));
  DW_TRY_ASSIGN(CopyFile::Place place, file->take_fresh(span.size));
  for (const Segment& segment : segments_) {
    if (segment.layer == nullptr || !segment.range.overlaps(span)) continue;
    const std::span<const std::byte> bytes(segment.layer->view() + segment.layer_offset, segment.range.size);
    if (auto written = file->write(place, segment.range.offset - span.offset, {&bytes, 1}); !written) {
      file->give_back(std::move(place));
      return written;
    }
  }
  return map_layer(span, Layer::seal_copy(std::move(file), std::move(place), span.size), 0);
}

}  // namespace driftwood
