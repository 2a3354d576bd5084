#include "device/mirror/mirror_cache.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_set>
#include <utility>

#include "core/bytes.hpp"
#include "core/clock.hpp"

namespace driftwood {
namespace {

ByteRange part(const Mirror& mirror, std::size_t from, std::size_t to) {
  return {mirror.range().offset + from, to - from};
}

/// Where bytes of a Region lie, if all are sealed and lie one after another; pages written since lie nowhere.
std::optional<Region::Place> sealed_place(const Region& region, ByteRange range) {
  auto places = region.places(range);
  if (places.size() != 1 || !places.front().sealed || places.front().range != range) return std::nullopt;
  return std::move(places.front());
}

/// In the Region.
ByteRange range_of(const MirrorCache::Request& request) {
  return {request.memory->region_offset() + request.range.offset, request.range.size};
}

}  // namespace

/// Once a Region is sealed, nobody can tell what was written before: it is looked at just then.
class MirrorCache::SealObserver final : public RegionObserver {
 public:
  explicit SealObserver(MirrorCache& cache) : cache_(&cache) {}
  void before_seal(const Region& region) noexcept override {
    const std::lock_guard lock(cache_->mutex_);
    for (const auto& mirror : cache_->mirrors_) {
      if (!mirror->is_orphan() && &mirror->region() == &region) cache_->drop_written(*mirror);
    }
  }
  void after_seal(const Region& region) noexcept override {
    const std::lock_guard lock(cache_->mutex_);
    for (const auto& mirror : cache_->mirrors_) {
      if (mirror->is_orphan() || &mirror->region() != &region) continue;
      // Pages that were sealed where they are have lost their marks, and are as they were looked at. Where this fails,
      // they count as written.
      (void)cache_->watch(*mirror, 0, mirror->reach());
      for (std::size_t i = 0; i < mirror->span().n_chunks(); ++i) cache_->name_chunk(*mirror, i);
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
  const Stopwatch watch;
  if (align_up(request.end, memory_->chunk_size()) > budget_) {
    // Nobody has to make room for what cannot fit. What a device writes to the memory itself shows in no mark.
    retire_at(*request.memory->region(), range_of(request));
    return no_room();
  }
  DW_TRY_ASSIGN(Mirror * mirror, find_or_make(request));
  mirror->last_use = ++uses_;
  ++mirror->holds;
  auto ready = make_ready(*mirror, request, check);
  counts_.prepare_ns += static_cast<std::uint64_t>(watch.elapsed_ns());
  if (ready) return Hold(*this, *mirror, request);
  --mirror->holds;
  return std::unexpected(std::move(ready).error());
}

Result<void> MirrorCache::make_ready(Mirror& mirror, const Request& request, bool check) {
  if (check) drop_written(mirror);
  mirror.cut(request.valid);
  DW_TRY(fill(mirror, request.valid));
  const std::size_t chunk = memory_->chunk_size();
  for (std::size_t i = request.valid / chunk; i * chunk < request.end; ++i) {
    DW_TRY(own_chunk(mirror, i, mirror.valid(i)));
  }
  return memory_->finish();
}

Result<Mirror*> MirrorCache::find_or_make(const Request& request) {
  const Region& region = *request.memory->region();
  const ByteRange range = range_of(request);
  const auto found = std::ranges::find_if(mirrors_, [&](const auto& mirror) { return mirror->is_of(region, range); });
  if (found != mirrors_.end()) return found->get();
  // A Context that begins at the same place with another length takes the place of the one before.
  retire_at(region, range);
  DW_TRY_ASSIGN(auto span, find_span(region, range, request));
  region.observe(observer_);
  return mirrors_
      .emplace_back(
          std::make_unique<Mirror>(region, request.memory->host() + request.range.offset, range, std::move(span)))
      .get();
}

Result<std::unique_ptr<MirrorSpan>> MirrorCache::find_span(const Region& region, ByteRange range,
                                                           const Request& request) {
  const std::size_t chunk = memory_->chunk_size();
  const std::size_t n_chunks = align_up(range.size, chunk) / chunk;
  const auto first = sealed_place(region, {range.offset, std::min(chunk, range.size)});
  const bool full = is_full(align_up(request.end, chunk) / chunk) && is_full(count_missing(region, range, request));
  if (auto spare = spares_.take(n_chunks, first, full)) return spare;
  if (full) {
    // What would be evicted for it gives its place as it is.
    Mirror* const victim = oldest([&](const Mirror& mirror) { return mirror.span().n_chunks() == n_chunks; });
    if (victim != nullptr && victim->span().has_chunks()) {
      ++counts_.evictions;
      auto span = victim->take_span();
      std::erase_if(mirrors_, [&](const auto& mirror) { return mirror.get() == victim; });
      return span;
    }
  }
  return MirrorSpan::create(*memory_, range.size);
}

std::size_t MirrorCache::count_missing(const Region& region, ByteRange range, const Request& request) const {
  const std::size_t chunk = memory_->chunk_size();
  std::size_t missing = 0;
  for (std::size_t begin = 0; begin < request.end; begin += chunk) {
    const std::size_t size = std::min(chunk, request.end - begin);
    const auto place = sealed_place(region, {range.offset + begin, size});
    const bool is_there = begin + size <= request.valid && place && find_known(*place, size) != nullptr;
    missing += is_there ? 0 : 1;
  }
  return missing;
}

template <typename Which>
void MirrorCache::retire(const Which& which) {
  std::erase_if(mirrors_, [&](const auto& mirror) {
    if (!mirror->is_orphan() && (mirror->holds != 0 || !which(*mirror))) return false;
    spares_.add(mirror->take_span());
    return true;
  });
}

void MirrorCache::retire_at(const Region& region, ByteRange range) {
  retire([&](const Mirror& mirror) { return &mirror.region() == &region && mirror.range().overlaps(range); });
}

template <typename Which>
Mirror* MirrorCache::oldest(const Which& which) const {
  Mirror* found = nullptr;
  for (const auto& mirror : mirrors_) {
    if (mirror->holds != 0 || !which(*mirror)) continue;
    if (found == nullptr || mirror->last_use < found->last_use) found = mirror.get();
  }
  return found;
}

void MirrorCache::drop_written(Mirror& mirror) {
  const std::size_t chunk = memory_->chunk_size();
  for (const ByteRange& range : mirror.region().owned(part(mirror, 0, mirror.reach()))) {
    std::size_t from = range.offset - mirror.range().offset;
    const std::size_t end = from + range.size;
    for (std::size_t i = from / chunk; from < end; from = ++i * chunk) {
      const std::size_t to = std::min(end, i * chunk + mirror.valid(i));
      if (from >= to) continue;
      const auto written = watch_->first_written(mirror.host() + from, to - from);
      if (written) mirror.set_valid(i, from + *written - i * chunk);
    }
  }
}

Result<void> MirrorCache::fill(Mirror& mirror, std::size_t to) {
  const std::size_t chunk = memory_->chunk_size();
  std::vector<std::size_t> filled;  // chunks
  std::vector<ByteRange> missing;   // in the mirror
  // All are mapped before any is copied into: devices take that together.
  for (std::size_t i = 0; i * chunk < to; ++i) {
    const std::size_t begin = i * chunk;
    const std::size_t start = begin + mirror.valid(i);
    const std::size_t end = begin + mirror.part_of(i, to);
    if (start >= end) continue;
    filled.push_back(i);
    // Marked before they are read, so that no write can fall between the two.
    DW_TRY(watch(mirror, start, end));
    if (const auto place = sealed_place(mirror.region(), part(mirror, begin, end))) {
      const auto& here = mirror.span().chunk(i);
      if (here != nullptr && here->holds(*place, end - begin)) continue;
      if (auto known = find_known(*place, end - begin)) {
        DW_TRY(map(mirror, i, std::move(known), false));
        continue;
      }
    }
    DW_TRY(own_chunk(mirror, i, start - begin));
    if (!missing.empty() && missing.back().offset + missing.back().size == start) {
      missing.back().size += end - start;
    } else {
      missing.push_back({start, end - start});
    }
  }
  const Stopwatch copying;
  for (const ByteRange& range : missing) DW_TRY(copy_in(mirror, range));
  if (!missing.empty()) DW_TRY(memory_->finish());
  counts_.copy_in_ns += static_cast<std::uint64_t>(copying.elapsed_ns());
  for (const std::size_t i : filled) {
    mirror.set_valid(i, mirror.part_of(i, to));
    name_chunk(mirror, i);
  }
  return {};
}

Result<void> MirrorCache::copy_in(Mirror& mirror, ByteRange range) {
  const ByteRange source = part(mirror, range.offset, range.offset + range.size);
  std::size_t done = source.offset;
  const auto copy = [&](const std::byte* host, std::size_t size) -> Result<void> {
    if (size != 0) DW_TRY(memory_->copy_in(mirror.span().device() + (done - mirror.range().offset), host, size));
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
  std::shared_ptr<MirrorChunk> found;
  each_chunk([&](const std::shared_ptr<MirrorChunk>& chunk) {
    if (found == nullptr && chunk->holds(place, size)) found = chunk;
  });
  return found;
}

void MirrorCache::name_chunk(Mirror& mirror, std::size_t index) {
  const std::shared_ptr<MirrorChunk>& chunk = mirror.span().chunk(index);
  if (mirror.valid(index) == 0 || chunk.use_count() > 1) return;
  const std::size_t begin = index * memory_->chunk_size();
  const auto places = mirror.region().places(part(mirror, begin, begin + mirror.valid(index)));
  if (places.empty() || !places.front().sealed || places.front().range.offset != mirror.range().offset + begin) return;
  chunk->file = places.front().file;
  chunk->file_offset = places.front().file_offset;
  chunk->known = places.front().range.size;
}

Result<void> MirrorCache::own_chunk(Mirror& mirror, std::size_t index, std::size_t keep) {
  MirrorSpan& span = mirror.span();
  const std::shared_ptr<MirrorChunk>& here = span.chunk(index);
  if (here != nullptr && here.use_count() == 1) {
    here->known = std::min(here->known, keep);
    return span.clean(index, keep);
  }
  DW_TRY_ASSIGN(auto fresh, make_chunk());
  if (here != nullptr && keep != 0) {
    // Copied through addresses of its own, since both must be mapped at once.
    const std::size_t size = memory_->chunk_size();
    DW_TRY_ASSIGN(std::byte * at, memory_->reserve(size));
    auto copied = memory_->map(at, fresh->handle);
    if (copied) {
      copied = memory_->copy(at, span.device() + index * size, keep);
      memory_->unmap(at, size);
    }
    memory_->release(at, size);
    DW_TRY(copied);
    fresh->file = here->file;
    fresh->file_offset = here->file_offset;
    fresh->known = std::min(here->known, keep);
  }
  return map(mirror, index, std::move(fresh), true);
}

Result<void> MirrorCache::map(Mirror& mirror, std::size_t index, std::shared_ptr<MirrorChunk> chunk, bool is_clean) {
  ++counts_.maps;
  auto mapped = mirror.span().set_chunk(index, std::move(chunk), is_clean);
  // What was shown there before is gone all the same.
  if (!mapped) mirror.set_valid(index, 0);
  return mapped;
}

Result<std::shared_ptr<MirrorChunk>> MirrorCache::make_chunk() {
  while (is_full(1)) {
    if (!evict_one()) return no_room();
  }
  auto handle = memory_->make_chunk();
  while (!handle && handle.error().code == ErrorCode::out_of_memory && evict_one()) handle = memory_->make_chunk();
  if (!handle) return std::unexpected(std::move(handle).error());
  return std::make_shared<MirrorChunk>(*memory_, *handle);
}

std::unexpected<Error> MirrorCache::no_room() const {
  return fail(
      ErrorCode::out_of_memory,
      fmt::format("The KV rows of the pass take more of the device's memory than they may ({} bytes).", budget_));
}

bool MirrorCache::evict_one() {
  if (spares_.drop_oldest()) return true;
  Mirror* const victim = oldest([](const Mirror& mirror) { return mirror.span().has_chunks(); });
  if (victim == nullptr) return false;
  victim->span().clear();
  victim->cut(0);
  ++counts_.evictions;
  return true;
}

Result<void> MirrorCache::watch(const Mirror& mirror, std::size_t from, std::size_t to) {
  for (const ByteRange& range : mirror.region().owned(part(mirror, from, to))) {
    DW_TRY(watch_->watch(mirror.region().data() + range.offset, range.size));
  }
  return {};
}

template <typename Visit>
void MirrorCache::each_chunk(const Visit& visit) const {
  const auto of = [&](const MirrorSpan& span) {
    for (std::size_t i = 0; i < span.n_chunks(); ++i) {
      if (span.chunk(i) != nullptr) visit(span.chunk(i));
    }
  };
  for (const auto& mirror : mirrors_) of(mirror->span());
  for (const auto& span : spares_.spans()) of(*span);
}

std::size_t MirrorCache::count_chunks() const {
  std::unordered_set<const MirrorChunk*> chunks;
  each_chunk([&](const auto& chunk) { chunks.insert(chunk.get()); });
  return chunks.size();
}

void MirrorCache::drop() {
  const std::lock_guard lock(mutex_);
  retire([](const Mirror&) { return true; });
  spares_.drop();
}

void MirrorCache::forget() {
  const std::lock_guard lock(mutex_);
  retire([](const Mirror&) { return true; });
  each_chunk([](const auto& chunk) { chunk->known = 0; });
}

MirrorUse MirrorCache::use() const {
  const std::lock_guard lock(mutex_);
  MirrorUse use = counts_;
  use.copied_out = copied_out_.load(std::memory_order_relaxed);
  use.mirrors = mirrors_.size();
  use.spares = spares_.spans().size();
  use.chunks = count_chunks();
  use.chunk_size = memory_->chunk_size();
  each_chunk([&](const auto&) { ++use.mapped_chunks; });
  return use;
}

}  // namespace driftwood
