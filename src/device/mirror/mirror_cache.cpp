#include "device/mirror/mirror_cache.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <unordered_set>
#include <utility>

namespace driftwood {
namespace {

ByteRange part(const Mirror& mirror, std::size_t from, std::size_t to) {
  return {mirror.range().offset + from, to - from};
}

}  // namespace

/// Once a Region is sealed, nobody can tell what was written before: it is looked at just then.
class MirrorCache::SealObserver final : public RegionObserver {
 public:
  explicit SealObserver(MirrorCache& cache) : cache_(&cache) {}
  void before_seal(const Region& region) noexcept override {
    const std::lock_guard lock(cache_->mutex_);
    for (const auto& mirror : cache_->mirrors_) {
      if (mirror->is_orphan() || &mirror->region() != &region || mirror->valid == 0) continue;
      cache_->drop_written(*mirror);
      const std::size_t chunk = cache_->memory_->chunk_size();
      for (std::size_t i = 0; i * chunk < mirror->valid; ++i) {
        cache_->name_chunk(*mirror, i, std::min(mirror->valid, (i + 1) * chunk));
      }
    }
  }

 private:
  MirrorCache* cache_;
};

Result<std::unique_ptr<MirrorCache>> MirrorCache::create(std::unique_ptr<MirrorMemory> memory, std::size_t budget) {
  DW_TRY_ASSIGN(auto watch, PageWatch::create());
  return std::unique_ptr<MirrorCache>(new MirrorCache(std::move(memory), std::move(watch), budget));
}

MirrorCache::MirrorCache(std::unique_ptr<MirrorMemory> memory, std::unique_ptr<PageWatch> watch, std::size_t budget)
    : memory_(std::move(memory)), watch_(std::move(watch)), budget_(budget) {
  observer_ = std::make_shared<SealObserver>(*this);
}

MirrorCache::~MirrorCache() {
  observer_.reset();
  mirrors_.clear();
}

Result<MirrorCache::Hold> MirrorCache::prepare(const Request& request) {
  const std::lock_guard lock(mutex_);
  return prepare(request, true);
}

Result<MirrorCache::Hold> MirrorCache::prepare_unchecked(const Request& request) {
  const std::lock_guard lock(mutex_);
  return prepare(request, false);
}

Result<MirrorCache::Hold> MirrorCache::prepare(const Request& request, bool check) {
  DW_CHECK(request.valid <= request.end && request.end <= request.range.size);
  DW_TRY_ASSIGN(Mirror * mirror, find_or_make(*request.memory, request.range));
  mirror->last_use = ++uses_;
  Hold hold(*this, *mirror);
  ++mirror->holds;
  // Leaves through an error must not wait for the lock that is held here.
  const auto fail_with = [&](Error error) -> Result<Hold> {
    --mirror->holds;
    hold.cache_ = nullptr;
    return std::unexpected(std::move(error));
  };
  if (check) drop_written(*mirror);
  mirror->valid = std::min(mirror->valid, request.valid);
  if (auto filled = fill(*mirror, request.valid); !filled) return fail_with(std::move(filled).error());
  const std::size_t chunk = memory_->chunk_size();
  for (std::size_t i = request.valid / chunk; i * chunk < request.end; ++i) {
    const std::size_t keep = std::max(request.valid, i * chunk) - i * chunk;
    if (auto made = own_chunk(*mirror, i, keep); !made) return fail_with(std::move(made).error());
  }
  if (auto done = memory_->finish(); !done) return fail_with(std::move(done).error());
  return hold;
}

Result<Mirror*> MirrorCache::find_or_make(const Import& memory, ByteRange of_import) {
  const Region& region = *memory.region();
  const ByteRange range{memory.region_offset() + of_import.offset, of_import.size};
  const auto found = std::ranges::find_if(mirrors_, [&](const auto& mirror) { return mirror->is_of(region, range); });
  if (found != mirrors_.end()) return found->get();
  forget_orphans();
  // A Context that begins at the same place with another length takes the place of the one before.
  std::erase_if(mirrors_, [&](const auto& mirror) {
    return mirror->holds == 0 && &mirror->region() == &region && mirror->range().overlaps(range);
  });
  DW_TRY_ASSIGN(auto mirror, Mirror::create(*memory_, region, memory.host() + of_import.offset, range));
  region.observe(observer_);
  return mirrors_.emplace_back(std::move(mirror)).get();
}

void MirrorCache::forget_orphans() {
  std::erase_if(mirrors_, [](const auto& mirror) { return mirror->is_orphan(); });
}

void MirrorCache::drop_written(Mirror& mirror) {
  if (mirror.valid == 0) return;
  const ByteRange looked = part(mirror, 0, mirror.valid);
  std::size_t clean = looked.offset;  // everything before it is as the mirror has it
  const auto look = [&](std::size_t to) {
    if (to <= clean) return true;
    const auto written = watch_->first_written(mirror.region().data() + clean, to - clean);
    clean = written ? clean + *written : to;
    return !written;
  };
  bool unchanged = true;
  if (mirror.region().image() != nullptr) {
    for (const auto& piece : mirror.region().clean_pieces(looked)) {
      unchanged = look(piece.range.offset);
      if (!unchanged) break;
      clean = piece.range.offset + piece.range.size;
    }
  }
  if (unchanged) unchanged = look(looked.offset + looked.size);
  if (unchanged) return;
  mirror.valid = clean - looked.offset;
  const std::size_t chunk = memory_->chunk_size();
  for (std::size_t i = mirror.valid / chunk; i < mirror.n_chunks(); ++i) {
    if (mirror.chunk(i) == nullptr || mirror.chunk(i).use_count() > 1) continue;
    mirror.chunk(i)->known = std::min(mirror.chunk(i)->known, std::max(mirror.valid, i * chunk) - i * chunk);
  }
}

Result<void> MirrorCache::fill(Mirror& mirror, std::size_t to) {
  const std::size_t from = mirror.valid;
  if (from >= to) return {};
  const std::size_t chunk = memory_->chunk_size();
  // Marked before they are read, so that no write can fall between the two.
  DW_TRY(watch(mirror, from, to));
  // All are mapped before any is copied into: devices take that together.
  std::vector<ByteRange> missing;  // in the mirror
  for (std::size_t i = from / chunk; i * chunk < to; ++i) {
    const std::size_t begin = i * chunk;
    const std::size_t end = std::min(to, begin + chunk);
    const auto places = mirror.region().places(part(mirror, begin, end));
    if (places.size() == 1 && places.front().sealed) {
      if (auto known = find_known(places.front(), end - begin)) {
        DW_TRY(mirror.set_chunk(i, std::move(known)));
        continue;
      }
    }
    const std::size_t start = std::max(from, begin);
    DW_TRY(own_chunk(mirror, i, start - begin));
    if (!missing.empty() && missing.back().offset + missing.back().size == start) {
      missing.back().size += end - start;
    } else {
      missing.push_back({start, end - start});
    }
  }
  for (const ByteRange& range : missing) DW_TRY(copy_in(mirror, range));
  mirror.valid = to;
  for (const ByteRange& range : missing) {
    for (std::size_t i = range.offset / chunk; i * chunk < range.offset + range.size; ++i) {
      name_chunk(mirror, i, std::min(to, (i + 1) * chunk));
    }
  }
  return {};
}

Result<void> MirrorCache::copy_in(Mirror& mirror, ByteRange range) {
  const ByteRange source = part(mirror, range.offset, range.offset + range.size);
  std::size_t done = source.offset;
  const auto copy = [&](const std::byte* host, std::size_t size) -> Result<void> {
    if (size != 0) DW_TRY(memory_->copy_in(mirror.device() + (done - mirror.range().offset), host, size));
    done += size;
    return {};
  };
  const std::byte* const data = mirror.region().data();
  if (mirror.region().image() != nullptr) {
    // Through the Image's own mapping, where the pages are: a child's mapping would take a fault for each.
    for (const auto& piece : mirror.region().clean_pieces(source)) {
      DW_TRY(copy(data + done, piece.range.offset - done));
      DW_TRY(copy(piece.at, piece.range.size));
    }
  }
  DW_TRY(copy(data + done, source.offset + source.size - done));
  counts_.copied_in += range.size;
  return {};
}

std::shared_ptr<MirrorChunk> MirrorCache::find_known(const Region::Place& place, std::size_t size) const {
  for (const auto& mirror : mirrors_) {
    for (std::size_t i = 0; i < mirror->n_chunks(); ++i) {
      const auto& chunk = mirror->chunk(i);
      if (chunk == nullptr || chunk->known < size || chunk->file_offset != place.file_offset) continue;
      if (chunk->file.lock() == place.file) return chunk;
    }
  }
  return nullptr;
}

void MirrorCache::name_chunk(Mirror& mirror, std::size_t index, std::size_t to) {
  const std::shared_ptr<MirrorChunk>& chunk = mirror.chunk(index);
  if (chunk == nullptr || chunk.use_count() > 1) return;
  const std::size_t begin = index * memory_->chunk_size();
  const auto places = mirror.region().places(part(mirror, begin, to));
  if (places.empty() || places.front().range.offset != mirror.range().offset + begin) return;
  chunk->file = places.front().file;
  chunk->file_offset = places.front().file_offset;
  chunk->known = places.front().range.size;
}

Result<void> MirrorCache::own_chunk(Mirror& mirror, std::size_t index, std::size_t keep) {
  const std::shared_ptr<MirrorChunk>& here = mirror.chunk(index);
  if (here != nullptr && here.use_count() == 1) {
    here->known = std::min(here->known, keep);
    return {};
  }
  DW_TRY_ASSIGN(auto fresh, make_chunk());
  if (here != nullptr && keep != 0) {
    // Copied through addresses of its own, since both must be mapped at once.
    const std::size_t size = memory_->chunk_size();
    DW_TRY_ASSIGN(std::byte * at, memory_->reserve(size));
    auto copied = memory_->map(at, fresh->handle);
    if (copied) {
      copied = memory_->copy(at, mirror.device() + index * size, keep);
      memory_->unmap(at);
    }
    memory_->release(at, size);
    DW_TRY(copied);
    fresh->file = here->file;
    fresh->file_offset = here->file_offset;
    fresh->known = std::min(here->known, keep);
  }
  return mirror.set_chunk(index, std::move(fresh));
}

Result<std::shared_ptr<MirrorChunk>> MirrorCache::make_chunk() {
  while ((count_chunks() + 1) * memory_->chunk_size() > budget_) {
    if (evict_one()) continue;
    return fail(
        ErrorCode::out_of_memory,
        fmt::format("The KV rows of the pass take more of the device's memory than they may ({} bytes).", budget_));
  }
  auto handle = memory_->make_chunk();
  while (!handle && handle.error().code == ErrorCode::out_of_memory && evict_one()) handle = memory_->make_chunk();
  if (!handle) return std::unexpected(std::move(handle).error());
  return std::make_shared<MirrorChunk>(*memory_, *handle);
}

bool MirrorCache::evict_one() {
  Mirror* oldest = nullptr;
  for (const auto& mirror : mirrors_) {
    const bool has_chunks = std::ranges::any_of(std::views::iota(std::size_t{0}, mirror->n_chunks()),
                                                [&](std::size_t i) { return mirror->chunk(i) != nullptr; });
    if (mirror->holds != 0 || !has_chunks) continue;
    if (oldest == nullptr || mirror->last_use < oldest->last_use) oldest = mirror.get();
  }
  if (oldest == nullptr) return false;
  oldest->clear();
  ++counts_.evictions;
  return true;
}

Result<void> MirrorCache::watch(const Mirror& mirror, std::size_t from, std::size_t to) {
  const ByteRange range = part(mirror, from, to);
  std::size_t at = range.offset;
  const std::byte* const data = mirror.region().data();
  if (mirror.region().image() != nullptr) {
    for (const auto& piece : mirror.region().clean_pieces(range)) {
      if (piece.range.offset > at) DW_TRY(watch_->watch(data + at, piece.range.offset - at));
      at = piece.range.offset + piece.range.size;
    }
  }
  const std::size_t end = range.offset + range.size;
  return at < end ? watch_->watch(data + at, end - at) : Result<void>{};
}

std::size_t MirrorCache::count_chunks() const {
  std::unordered_set<const MirrorChunk*> chunks;
  for (const auto& mirror : mirrors_) {
    for (std::size_t i = 0; i < mirror->n_chunks(); ++i) {
      if (mirror->chunk(i) != nullptr) chunks.insert(mirror->chunk(i).get());
    }
  }
  return chunks.size();
}

void MirrorCache::drop() {
  const std::lock_guard lock(mutex_);
  std::erase_if(mirrors_, [](const auto& mirror) { return mirror->holds == 0; });
}

MirrorUse MirrorCache::use() const {
  const std::lock_guard lock(mutex_);
  MirrorUse use = counts_;
  use.copied_out = copied_out_.load(std::memory_order_relaxed);
  use.mirrors = mirrors_.size();
  use.chunks = count_chunks();
  use.chunk_size = memory_->chunk_size();
  for (const auto& mirror : mirrors_) {
    for (std::size_t i = 0; i < mirror->n_chunks(); ++i) use.mapped_chunks += mirror->chunk(i) != nullptr ? 1 : 0;
  }
  return use;
}

MirrorCache::Hold& MirrorCache::Hold::operator=(Hold&& other) noexcept {
  Hold taken(std::move(other));
  std::swap(cache_, taken.cache_);
  std::swap(mirror_, taken.mirror_);
  return *this;
}

MirrorCache::Hold::~Hold() {
  if (cache_ == nullptr) return;
  const std::lock_guard lock(cache_->mutex_);
  --mirror_->holds;
}

bool MirrorCache::Hold::is_current() {
  const std::lock_guard lock(cache_->mutex_);
  const std::size_t before = mirror_->valid;
  cache_->drop_written(*mirror_);
  return mirror_->valid == before;
}

Result<void> MirrorCache::Hold::publish(std::size_t from, std::size_t to) {
  cache_->watch_->unwatch(mirror_->host() + from, to - from);
  DW_TRY(cache_->memory_->copy_out(mirror_->host() + from, mirror_->device() + from, to - from));
  return published(from, to);
}

Result<void> MirrorCache::Hold::publish(std::size_t from, std::span<const std::byte> bytes) {
  cache_->watch_->unwatch(mirror_->host() + from, bytes.size());
  std::ranges::copy(bytes, mirror_->host() + from);
  return published(from, from + bytes.size());
}

Result<void> MirrorCache::Hold::published(std::size_t from, std::size_t to) {
  DW_CHECK(mirror_->valid == from);
  DW_TRY(cache_->watch(*mirror_, from, to));
  mirror_->valid = to;
  cache_->copied_out_.fetch_add(to - from, std::memory_order_relaxed);
  return {};
}

}  // namespace driftwood
