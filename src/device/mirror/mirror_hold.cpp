#include <algorithm>
#include <utility>

#include "device/mirror/mirror_cache.hpp"

namespace driftwood {
namespace {

/// Calls visit(offset, size) for each stretch of [0, size) that lies between records.
template <typename Visit>
void for_gaps(const RecordShape& records, std::size_t size, const Visit& visit) {
  if (records.stride == records.bytes) return;
  for (std::size_t at = 0; at < size; at += records.stride) visit(at + records.bytes, records.stride - records.bytes);
}

}  // namespace

MirrorCache::Hold& MirrorCache::Hold::operator=(Hold&& other) noexcept {
  Hold taken(std::move(other));
  std::swap(cache_, taken.cache_);
  std::swap(mirror_, taken.mirror_);
  std::swap(valid_, taken.valid_);
  std::swap(records_, taken.records_);
  return *this;
}

MirrorCache::Hold::~Hold() {
  if (cache_ == nullptr) return;
  const std::lock_guard lock(cache_->mutex_);
  --mirror_->holds;
}

bool MirrorCache::Hold::is_current() {
  const std::lock_guard lock(cache_->mutex_);
  cache_->drop_written(*mirror_);
  return mirror_->has(valid_);
}

Result<void> MirrorCache::Hold::publish(std::size_t from, std::size_t to) {
  std::byte* const host = mirror_->host() + from;
  cache_->watch_->unwatch(host, to - from);
  // One copy takes what lies between the records with it, where the device has anything.
  std::vector<std::byte> gaps;
  for_gaps(records_, to - from,
           [&](std::size_t at, std::size_t n) { gaps.insert(gaps.end(), host + at, host + at + n); });
  const auto copied = cache_->memory_->copy_out(host, mirror_->span().device() + from, to - from);
  auto kept = gaps.begin();
  for_gaps(records_, to - from, [&](std::size_t at, std::size_t n) {
    std::copy_n(kept, n, host + at);
    kept += static_cast<std::ptrdiff_t>(n);
  });
  DW_TRY(copied);
  return published(from, to);
}

Result<void> MirrorCache::Hold::publish(std::size_t from, std::span<const std::byte> bytes) {
  std::byte* const host = mirror_->host() + from;
  cache_->watch_->unwatch(host, bytes.size());
  const std::size_t stride = records_.stride == 0 ? bytes.size() : records_.stride;
  const std::size_t n = records_.stride == 0 ? bytes.size() : records_.bytes;
  for (std::size_t at = 0; at < bytes.size(); at += stride) std::ranges::copy(bytes.subspan(at, n), host + at);
  return published(from, from + bytes.size());
}

Result<void> MirrorCache::Hold::published(std::size_t from, std::size_t to) {
  DW_CHECK(from == valid_ && mirror_->has(from));
  DW_TRY(cache_->watch(*mirror_, from, to));
  const std::size_t chunk = mirror_->span().chunk_size();
  for (std::size_t i = from / chunk; i * chunk < to; ++i) mirror_->set_valid(i, mirror_->part_of(i, to));
  cache_->copied_out_.fetch_add(to - from, std::memory_order_relaxed);
  return {};
}

}  // namespace driftwood
