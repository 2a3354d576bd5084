// One range of a Region as a device holds it, in a span of the device's addresses.
//
// Internal to src/device/mirror. `valid` bytes from the start are those of the Region as
// it was when last looked at. One thread at a time.
#pragma once

#include <memory>
#include <utility>

#include "device/mirror/mirror_span.hpp"
#include "memory/region.hpp"

namespace driftwood {

class Mirror {
 public:
  /// Of `range` of `region`, which lies at `host`; nothing is copied. The span has chunks enough for it.
  Mirror(const Region& region, std::byte* host, ByteRange range, std::unique_ptr<MirrorSpan> span)
      : region_(&region), region_life_(region.life()), host_(host), range_(range), span_(std::move(span)) {
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

  std::size_t valid = 0;       ///< bytes from the start
  std::uint64_t last_use = 0;  ///< by the cache's count
  int holds = 0;               ///< passes that use it now

 private:
  const Region* region_;
  std::weak_ptr<const void> region_life_;
  std::byte* host_;
  ByteRange range_;
  std::unique_ptr<MirrorSpan> span_;
};

}  // namespace driftwood
