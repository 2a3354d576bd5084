// How a Region's pages come to lie in files that another process can map.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "memory/page_ranges.hpp"
#include "memory/region.hpp"
#include "memory/system_memory.hpp"

namespace driftwood {

Result<Region::Shared> Region::share(ByteRange range, std::span<const ByteRange> writes) {
  const std::lock_guard lock(mutex_);
  if (range.size == 0 || !range.within(size())) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Range ({} bytes at offset {}) is empty or not within the Region's bytes ({}).", range.size,
                            range.offset, size()));
  }
  const ByteRange pages = whole_pages(range);
  DW_TRY_ASSIGN(std::vector<ByteRange> to_move, private_pages(pages));
  for (const ByteRange& written : writes) {
    if (written.size != 0) to_move.push_back(whole_pages(written));
  }
  // Each move is a mapping of its own, which costs more than some pages that need not have moved.
  for (const ByteRange& part : merged(std::move(to_move), kKeepTogether)) DW_TRY(move_pages(part));

  Shared shared{.version = mappings_, .pieces = {}};
  for (const Segment& segment : segments_) {
    if (!segment.range.overlaps(pages)) continue;
    const std::size_t from = std::max(segment.range.offset, pages.offset);
    const std::size_t to = std::min(segment.range.offset + segment.range.size, pages.offset + pages.size);
    const auto& file = segment.pages == Pages::moved ? moved_ : file_;
    SharedPiece piece{.range = {from, to - from}, .file_offset = from, .file = file};
    if (segment.in_file()) {
      piece.fd = file->fd();
    } else {
      piece.fd = segment.layer->fd();
      piece.file_offset = segment.layer->file_offset() + segment.layer_offset + (from - segment.range.offset);
      piece.sealed = true;
      piece.file = segment.layer;
    }
    shared.pieces.push_back(std::move(piece));
  }
  return shared;
}

Region::Segment Region::Segment::part_in(ByteRange within) const {
  const std::size_t from = std::max(range.offset, within.offset);
  const std::size_t to = std::min(range.offset + range.size, within.offset + within.size);
  Segment part = *this;
  part.range = {from, to - from};
  part.layer_offset += from - range.offset;
  return part;
}

std::vector<Region::Segment> Region::shared_in(ByteRange range) const {
  std::vector<Segment> shared;
  for (const Segment& segment : segments_) {
    if (segment.in_file() && segment.range.overlaps(range)) shared.push_back(segment.part_in(range));
  }
  return shared;
}

Result<std::vector<ByteRange>> Region::private_pages(ByteRange range) const {
  std::vector<ByteRange> found;
  for (const ByteRange& part : layered(range)) {
    // What was written is private unless it lies in a file; what was left in place is private though it did not change.
    DW_TRY_ASSIGN(const auto changed, written(part));
    found.insert(found.end(), changed.begin(), changed.end());
  }
  for (const Segment& segment : segments_) {
    if (segment.pages != Pages::copied || !segment.range.overlaps(range)) continue;
    const std::vector<ByteRange> whole{segment.range};
    const auto part = clipped(whole, range);
    found.insert(found.end(), part.begin(), part.end());
  }
  return found;
}

Result<void> Region::move_pages(ByteRange range) {
  std::vector<Segment> parts;
  for (const Segment& segment : segments_) {
    if (!segment.in_file() && segment.range.overlaps(range)) parts.push_back(segment.part_in(range));
  }
  if (parts.empty()) return {};
  if (moved_ == nullptr) {
    DW_TRY_ASSIGN(moved_, MemoryFile::create(options_.reserve));
  }
  for (Segment& part : parts) {
    std::byte* const at = base_ + part.range.offset;
    const std::span<const std::byte> bytes(at, part.range.size);
    DW_TRY(moved_->write(part.range.offset, {&bytes, 1}));
    DW_TRY(system_memory::map_shared(at, part.range.size, moved_->fd(), part.range.offset));
    if (part.pages == Pages::layer) {
      part.layer = nullptr;
      part.layer_offset = 0;
    }
    part.pages = Pages::moved;
    record(std::move(part));
  }
  return {};
}

}  // namespace driftwood
