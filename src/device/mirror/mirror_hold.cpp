#include <algorithm>
#include <utility>

#include "device/mirror/mirror_cache.hpp"

namespace driftwood {

MirrorCache::Hold& MirrorCache::Hold::operator=(Hold&& other) noexcept {
  Hold taken(std::move(other));
  std::swap(cache_, taken.cache_);
  std::swap(mirror_, taken.mirror_);
  std::swap(valid_, taken.valid_);
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
  cache_->watch_->unwatch(mirror_->host() + from, to - from);
  DW_TRY(cache_->memory_->copy_out(mirror_->host() + from, mirror_->span().device() + from, to - from));
  return published(from, to);
}

Result<void> MirrorCache::Hold::publish(std::size_t from, std::span<const std::byte> bytes) {
  cache_->watch_->unwatch(mirror_->host() + from, bytes.size());
  std::ranges::copy(bytes, mirror_->host() + from);
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
