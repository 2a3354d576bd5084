#include "memory/region.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "memory/system_memory.hpp"

namespace driftwood {
namespace {

Result<void> check_page_multiple(std::string_view what, std::size_t bytes) {
  if (is_aligned(bytes, page_size())) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("{} ({}) is not a multiple of the page size ({}).", what, bytes, page_size()));
}

Result<void> check_options(const RegionOptions& options) {
  if (options.reserve == 0) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Region reservation (0) is not at least one page ({}).", page_size()));
  }
  DW_TRY(check_page_multiple("Region reservation", options.reserve));
  DW_TRY(check_page_multiple("Region size", options.commit));
  DW_TRY(check_page_multiple("Region guard", options.guard));
  if (options.commit > options.reserve) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Region size ({}) is more than its reservation ({}).", options.commit, options.reserve));
  }
  if (!checked_add(options.reserve, options.guard)) {
    return fail(ErrorCode::out_of_memory,
                fmt::format("Region reservation ({}) and guard ({}) together are more than the address space.",
                            options.reserve, options.guard));
  }
  return {};
}

}  // namespace

Region::Region(const RegionOptions& options, Backing backing, std::byte* base)
    : options_(options), backing_(backing), base_(base) {}

Region::~Region() {
  DW_CHECK(pins_.empty());
  system_memory::release(base_, options_.reserve + options_.guard);
}

Result<std::unique_ptr<Region>> Region::reserve(const RegionOptions& options, Backing backing) {
  DW_TRY(check_options(options));
  DW_TRY_ASSIGN(std::byte * base, system_memory::reserve(options.reserve + options.guard));
  return std::unique_ptr<Region>(new Region(options, backing, base));
}

Result<std::unique_ptr<Region>> Region::create(const RegionOptions& options) {
  DW_TRY_ASSIGN(auto region, reserve(options, Backing::memory_file));
  const std::lock_guard lock(region->mutex_);
  DW_TRY_ASSIGN(region->file_, MemoryFile::create(options.commit, options.reserve));
  DW_TRY(region->extend(options.commit));
  return region;
}

Result<std::unique_ptr<Region>> Region::create_copy_on_write(std::shared_ptr<const MemoryFile> image,
                                                             const RegionOptions& options) {
  DW_CHECK(image != nullptr);
  const std::size_t image_size = image->size();
  DW_TRY(check_page_multiple("Image size", image_size));
  if (options.commit < image_size) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Region size ({}) is less than its image's ({}).", options.commit, image_size));
  }
  DW_TRY_ASSIGN(auto region, reserve(options, Backing::copy_on_write));
  const std::lock_guard lock(region->mutex_);
  if (image_size != 0) {
    DW_TRY(region->append(
        {.range = {0, image_size}, .backing = Backing::copy_on_write, .file = std::move(image), .file_offset = 0}));
  }
  DW_TRY(region->extend(options.commit));
  return region;
}

Result<void> Region::append(Segment segment) {
  const auto [offset, size] = segment.range;
  const auto map = segment.backing == Backing::memory_file ? system_memory::map_shared : system_memory::map_private;
  DW_TRY(map(base_ + offset, size, segment.file->fd(), segment.file_offset));
  if (!segments_.empty() && segment.backing == Backing::memory_file && segments_.back().file == segment.file) {
    segments_.back().range.size += size;
  } else {
    segments_.push_back(std::move(segment));
  }
  size_.store(offset + size, std::memory_order_release);
  return {};
}

Result<void> Region::extend(std::size_t new_size) {
  const std::size_t old_size = size();
  if (new_size == old_size) return {};
  if (file_ == nullptr) {
    DW_TRY_ASSIGN(file_, MemoryFile::create(new_size, options_.reserve));
  }
  // It may be larger already, after an attempt that failed.
  if (file_->size() < new_size) DW_TRY(file_->resize(new_size));
  return append({.range = {old_size, new_size - old_size},
                 .backing = Backing::memory_file,
                 .file = file_,
                 .file_offset = old_size});
}

Result<void> Region::grow(std::size_t new_size) {
  DW_TRY(check_page_multiple("Region size", new_size));
  const std::lock_guard lock(mutex_);
  if (new_size < size()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Region size ({}) is less than it is now ({}): a Region only grows.", new_size, size()));
  }
  if (new_size > options_.reserve) {
    return fail(ErrorCode::out_of_memory,
                fmt::format("Region size ({}) is more than its reservation ({}).", new_size, options_.reserve));
  }
  return extend(new_size);
}

Result<Pin> Region::pin(ByteRange range) {
  const std::lock_guard lock(mutex_);
  if (range.size == 0 || !range.within(size())) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Range ({} bytes at offset {}) is empty or not within the Region's bytes ({}).", range.size,
                            range.offset, size()));
  }
  pins_.emplace(range.offset, range.size);
  return Pin(*this, range);
}

std::size_t Region::pins(ByteRange range) const {
  const std::lock_guard lock(mutex_);
  std::size_t count = 0;
  for (const auto& [offset, size] : pins_) {
    if (range.overlaps({offset, size})) ++count;
  }
  return count;
}

void Region::unpin(ByteRange range) noexcept {
  const std::lock_guard lock(mutex_);
  const auto [first, last] = pins_.equal_range(range.offset);
  const auto pin = std::find_if(first, last, [&](const auto& entry) { return entry.second == range.size; });
  DW_CHECK(pin != last);
  pins_.erase(pin);
}

std::shared_ptr<const MemoryFile> Region::file() const {
  const std::lock_guard lock(mutex_);
  return file_;
}

}  // namespace driftwood
