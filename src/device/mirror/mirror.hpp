// One range of a Region as a device holds it, in a span of the device's addresses.
//
// Internal to src/device/mirror. Of each chunk, some bytes from its start are those of the
// Region as it was when last looked at: what the guest writes makes the rest of a chunk
// stale, and no other chunk. One thread at a time.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "device/mirror/mirror_span.hpp"
#include "memory/region.hpp"

namespace driftwood {

class Mirror {
 public:
  /// Of `range` of `region`, which lies at `host`; nothing is copied. The span has chunks enough for it.
  Mirror(const Region& region, std::byte* host, ByteRange range, std::unique_ptr<MirrorSpan> span)
      : region_(&region),
        region_life_(region.life()),
        host_(host),
        range_(range),
        span_(std::move(span)),
        valid_(span_->n_chunks()) {
    span_->give_away();
  }

  bool is_of(const Region& region, ByteRange range) const noexcept {
    return region_ == &region && range_ == range && !region_life_.expired();
  }
  /// The Region is gone: nothing of it may be touched.
  bool is_orphan() const noexcept { return region_life_.expired(); }
  const Region& region() const noexcept { return *region_; }
  ByteRange range() const noexcept { return range_; }
  std::byte* host() const noexcept { return host_; }
  MirrorSpan& span() noexcept { return *span_; }
  const MirrorSpan& span() const noexcept { return *span_; }
  /// The span, for another mirror; this one is of no use then.
  std::unique_ptr<MirrorSpan> take_span() noexcept { return std::move(span_); }

  /// Bytes from the start of a chunk that are the Region's.
  std::size_t valid(std::size_t chunk) const noexcept { return valid_[chunk]; }
  void set_valid(std::size_t chunk, std::size_t bytes) noexcept { valid_[chunk] = bytes; }
  /// Bytes from the start of the range behind which none is valid.
  std::size_t reach() const noexcept {
    std::size_t chunk = valid_.size();
    while (chunk > 0 && valid_[chunk - 1] == 0) --chunk;
    return chunk == 0 ? 0 : (chunk - 1) * span_->chunk_size() + valid_[chunk - 1];
  }
  /// Whether the first `size` bytes of the range are valid.
  bool has(std::size_t size) const noexcept {
    for (std::size_t i = 0; i * span_->chunk_size() < size; ++i) {
      if (valid_[i] < part_of(i, size)) return false;
    }
    return true;
  }
  /// What is behind the first `size` bytes of the range is not valid.
  void cut(std::size_t size) noexcept {
    for (std::size_t i = 0; i < valid_.size(); ++i) valid_[i] = std::min(valid_[i], part_of(i, size));
  }
  /// Of the first `size` bytes of the range, those in a chunk.
  std::size_t part_of(std::size_t chunk, std::size_t size) const noexcept {
    const std::size_t begin = chunk * span_->chunk_size();
    return std::min(std::max(size, begin) - begin, span_->chunk_size());
  }

  std::uint64_t last_use = 0;  ///< by the cache's count
  int holds = 0;               ///< passes that use it now

 private:
  const Region* region_;
  std::weak_ptr<const void> region_life_;
  std::byte* host_;
  ByteRange range_;
  std::unique_ptr<MirrorSpan> span_;
  std::vector<std::size_t> valid_;  ///< by chunk
};

}  // namespace driftwood
