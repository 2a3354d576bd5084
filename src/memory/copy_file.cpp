#include "memory/copy_file.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "memory/region.hpp"
#include "memory/system_memory.hpp"

namespace driftwood {
namespace {

// Mapped at once: a seal comes when the caches hold other things, and each system call it does not make counts.
constexpr std::size_t kChunk = 2 * kMiB;
// What a turn writes beside rows of its own (stack, globals, logits) varies by a few pages.
constexpr std::size_t kLargePlace = 64 * kKiB;
// A larger spare holds memory for a use that may never come.
constexpr std::size_t kLargestSpare = kMiB;

std::size_t place_size(std::size_t size) noexcept {
  return align_up(size, size < kLargePlace ? page_size() : kLargePlace);
}

}  // namespace

Result<std::shared_ptr<CopyFile>> CopyFile::create(std::size_t capacity) {
  DW_TRY_ASSIGN(auto file, MemoryFile::create(0, align_up(std::max(capacity, kChunk), kLargePlace)));
  return std::shared_ptr<CopyFile>(new CopyFile(std::move(file)));
}

bool CopyFile::has_room(std::size_t size) const {
  return place_size(size) <= std::max(left_.size, file_->capacity() - file_->size());
}

Result<CopyFile::Place> CopyFile::take(std::size_t size) {
  {
    const std::lock_guard lock(mutex_);
    Place* best = nullptr;
    for (Place& spare : spares_) {
      if (spare.range.size >= size && (best == nullptr || spare.range.size < best->range.size)) best = &spare;
    }
    // A much larger one would keep pages that its next Layer does not need.
    if (best != nullptr && best->range.size <= 2 * place_size(size)) return std::exchange(*best, {});
  }
  return take_fresh(size);
}

Result<CopyFile::Place> CopyFile::take_fresh(std::size_t size) {
  const std::size_t needed = place_size(size);
  if (left_.size < needed) {
    const std::size_t end = file_->size();
    const ByteRange chunk{end, std::min(std::max(needed, kChunk), file_->capacity() - end)};
    DW_TRY(file_->resize(end + chunk.size));
    DW_TRY_ASSIGN(LayerView view, LayerView::map_writable(fd(), chunk));
    chunk_ = std::make_shared<const LayerView>(std::move(view));
    chunk_offset_ = end;
    left_ = chunk;
  }
  Place place{{left_.offset, needed}, chunk_->data() + (left_.offset - chunk_offset_), chunk_};
  left_ = {left_.offset + needed, left_.size - needed};
  return place;
}

Result<void> CopyFile::write(Place& place, std::size_t offset, std::span<const std::span<const std::byte>> pieces) {
  std::size_t end = offset;
  for (const auto& piece : pieces) end += piece.size();
  if (end > place.filled) {
    // A page that is not there yet costs less through the file than by a fault of the mapping, and can be refused.
    DW_TRY(file_->write(place.range.offset + offset, pieces));
    if (offset <= place.filled) place.filled = end;
    return {};
  }
  for (const auto& piece : pieces) {
    std::memcpy(place.at + offset, piece.data(), piece.size());
    offset += piece.size();
  }
  return {};
}

void CopyFile::give_back(Place place) noexcept {
  {
    const std::lock_guard lock(mutex_);
    // The larger ones are kept: their pages cost more, and less would fit into the others.
    Place& smallest = *std::ranges::min_element(spares_, {}, [](const Place& spare) { return spare.range.size; });
    if (!closed_ && place.range.size <= kLargestSpare && place.range.size > smallest.range.size) {
      std::swap(smallest, place);
    }
  }
  if (place.range.size != 0) system_memory::discard(fd(), place.range);
}

void CopyFile::close() noexcept {
  std::array<Place, kSpares> unused;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    std::swap(unused, spares_);
  }
  for (const Place& place : unused) {
    if (place.range.size != 0) system_memory::discard(fd(), place.range);
  }
}

}  // namespace driftwood
