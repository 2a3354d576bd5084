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

Region::Region(const RegionOptions& options, std::byte* base) : options_(options), base_(base) {}

Region::~Region() {
  DW_CHECK(pins_.empty());
  system_memory::release(base_, options_.reserve + options_.guard);
  if (copies_ != nullptr) copies_->close();
}

Result<std::unique_ptr<Region>> Region::reserve(const RegionOptions& options) {
  DW_TRY(check_options(options));
  DW_TRY_ASSIGN(std::byte * base, system_memory::reserve(options.reserve + options.guard));
  return std::unique_ptr<Region>(new Region(options, base));
}

Result<std::unique_ptr<Region>> Region::create(const RegionOptions& options) {
  DW_TRY_ASSIGN(auto region, reserve(options));
  const std::lock_guard lock(region->mutex_);
  DW_TRY(region->extend(options.commit));
  return region;
}

Result<std::unique_ptr<Region>> Region::create_over(std::shared_ptr<const Image> image, const RegionOptions& options) {
  DW_CHECK(image != nullptr);
  if (options.commit < image->size()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Region size ({}) is less than its image's ({}).", options.commit, image->size()));
  }
  DW_TRY_ASSIGN(auto region, reserve(options));
  const std::lock_guard lock(region->mutex_);
  DW_TRY(region->extend(options.commit));
  for (const Extent& extent : image->extents()) {
    DW_TRY(region->map_layer(extent.range, extent.layer, extent.layer_offset));
  }
  region->image_ = std::move(image);
  return region;
}

Result<void> Region::extend(std::size_t new_size) {
  const std::size_t old_size = size();
  if (new_size == old_size) return {};
  if (file_ == nullptr) {
    DW_TRY_ASSIGN(file_, MemoryFile::create(new_size, options_.reserve));
  }
  // It may be larger already, after an attempt that failed.
  if (file_->size() < new_size) DW_TRY(file_->resize(new_size));
  DW_TRY(system_memory::map_shared(base_ + old_size, new_size - old_size, file_->fd(), old_size));
  ++mappings_;
  if (!segments_.empty() && segments_.back().is_fresh()) {
    segments_.back().range.size += new_size - old_size;
  } else {
    segments_.push_back({.range = {old_size, new_size - old_size}});
  }
  size_.store(new_size, std::memory_order_release);
  return {};
}

Result<void> Region::map_layer(ByteRange range, std::shared_ptr<const Layer> layer, std::size_t layer_offset) {
  DW_TRY(
      system_memory::map_private(base_ + range.offset, range.size, layer->fd(), layer->file_offset() + layer_offset));
  for (const Segment& hidden : shared_in(range)) {
    if (hidden.is_fresh()) continue;  // has no pages there
    system_memory::discard((hidden.pages == Pages::moved ? moved_ : file_)->fd(), hidden.range);
  }
  record({.range = range, .pages = Pages::layer, .layer = std::move(layer), .layer_offset = layer_offset});
  return {};
}

void Region::record(Segment now) {
  ++mappings_;
  const ByteRange range = now.range;
  const std::size_t end = range.offset + range.size;
  const auto end_of = [](const Segment& segment) { return segment.range.offset + segment.range.size; };
  const auto first =
      std::ranges::partition_point(segments_, [&](const Segment& s) { return end_of(s) <= range.offset; });
  const auto last = std::ranges::partition_point(segments_, [&](const Segment& s) { return s.range.offset < end; });
  std::vector<Segment> parts;
  if (first->range.offset < range.offset) {
    parts.push_back(*first);
    parts.back().range.size = range.offset - first->range.offset;
  }
  parts.push_back(std::move(now));
  if (const Segment& cut = *std::prev(last); end_of(cut) > end) {
    parts.push_back(cut);
    parts.back().range = {end, end_of(cut) - end};
    parts.back().layer_offset += end - cut.range.offset;
  }
  const auto at = segments_.erase(first, last);
  segments_.insert(at, std::make_move_iterator(parts.begin()), std::make_move_iterator(parts.end()));
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

void Region::observe(std::weak_ptr<RegionObserver> observer) const {
  const std::lock_guard lock(mutex_);
  std::erase_if(observers_, [](const auto& known) { return known.expired(); });
  const auto is_same = [&](const auto& known) {
    return !known.owner_before(observer) && !observer.owner_before(known);
  };
  if (std::ranges::none_of(observers_, is_same)) observers_.push_back(std::move(observer));
}

std::vector<std::shared_ptr<RegionObserver>> Region::observers() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<RegionObserver>> observers;
  for (const auto& known : observers_) {
    if (auto observer = known.lock()) observers.push_back(std::move(observer));
  }
  return observers;
}

std::shared_ptr<const Image> Region::image() const {
  const std::lock_guard lock(mutex_);
  return image_;
}

}  // namespace driftwood
