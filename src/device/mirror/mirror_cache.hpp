// Copies of guest memory that a device reads at its own speed, kept in step without the guest's help.
//
// For devices that reach host memory over a bus. A pass asks for a range of a Region
// (prepare), reads and appends in the device's copy, and writes what it appended back
// (publish): the Region holds the truth at all times, and a freeze needs nothing of
// the device. It is a cache: it can be dropped whenever no pass runs.
//
//   What the guest does                       How it is noticed
//   writes bytes that were mirrored           the page's mark is gone (PageWatch), or it
//                                             left its Image (Region::owned)
//   forgets tokens, or begins anew            the caller asks for fewer valid bytes
//   is frozen, thawed, forked                 the bytes lie at the same place of the same
//                                             file: the same chunk is mapped again, once
//                                             on the device for all who have it
//
// Calls may come from any thread. Holds of different mirrors may be used at the same time; a Region is not sealed
// while one of its own is held.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "device/import.hpp"
#include "device/mirror/mirror.hpp"
#include "device/mirror/mirror_memory.hpp"
#include "device/mirror/spare_spans.hpp"
#include "memory/page_watch.hpp"
#include "memory/region.hpp"

namespace driftwood {

struct MirrorUse {
  std::size_t mirrors = 0;
  std::size_t spares = 0;         ///< spans of addresses that wait for a mirror, with what they show
  std::size_t chunks = 0;         ///< of the device's memory
  std::size_t mapped_chunks = 0;  ///< places where one is shown: more than `chunks` where forks share
  std::size_t chunk_size = 0;     ///< bytes
  std::uint64_t copied_in = 0;    ///< bytes from the host so far
  std::uint64_t copied_out = 0;   ///< and to it
  std::uint64_t evictions = 0;    ///< mirrors that lost their chunks to others
  std::uint64_t maps = 0;         ///< times that a chunk was mapped
  std::uint64_t prepare_ns = 0;   ///< spent on getting mirrors ready for passes
  std::uint64_t copy_in_ns = 0;   ///< of it, on copies from the host
};

/// Records that lie `stride` bytes apart. What lies behind their first `bytes` is not the pass's to write. No stride:
/// one record is all.
struct RecordShape {
  std::size_t stride = 0;
  std::size_t bytes = 0;
};

class MirrorCache {
 public:
  /// What a pass does with a range of a Region.
  struct Request {
    const Import* memory = nullptr;  ///< of a Region
    ByteRange range;                 ///< of the import
    std::size_t valid = 0;           ///< bytes from its start that the pass reads
    std::size_t end = 0;             ///< the pass writes from `valid` up to here
    RecordShape records;             ///< what the range consists of
  };

  /// A mirror in use by a pass; it is not evicted meanwhile. Move-only; must die before the cache and the Region.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept
        : cache_(std::exchange(other.cache_, nullptr)),
          mirror_(other.mirror_),
          valid_(other.valid_),
          records_(other.records_) {}
    Hold& operator=(Hold&& other) noexcept;
    ~Hold();

    explicit operator bool() const noexcept { return cache_ != nullptr; }
    /// The device's address of the range's first byte.
    std::byte* device() const noexcept { return mirror_->span().device(); }
    ggml_backend_buffer_t buffer() const noexcept { return mirror_->span().buffer(); }
    /// Bytes that tensors may be placed in, from device() on.
    std::size_t size() const noexcept { return mirror_->span().reserved(); }
    /// False: the guest wrote what prepare_unchecked took as it was. What the pass computes is not to be used.
    bool is_current();
    /// Writes the device's records [from, to) of the range, whole ones, to the Region.
    Result<void> publish(std::size_t from, std::size_t to);
    /// The same where `bytes`, the device's records from `from` on, came to the host already.
    Result<void> publish(std::size_t from, std::span<const std::byte> bytes);

   private:
    friend class MirrorCache;
    Result<void> published(std::size_t from, std::size_t to);
    Hold(MirrorCache& cache, Mirror& mirror, const Request& request)
        : cache_(&cache), mirror_(&mirror), valid_(request.valid), records_(request.records) {}
    MirrorCache* cache_ = nullptr;
    Mirror* mirror_ = nullptr;
    std::size_t valid_ = 0;  ///< the request's
    RecordShape records_;    ///< likewise
  };

  /// `budget`: most bytes of the device's memory. unsupported: the system cannot tell what is written.
  static Result<std::unique_ptr<MirrorCache>> create(std::unique_ptr<MirrorMemory> memory, std::size_t budget);
  ~MirrorCache();

  /// The mirror of a range, its first `valid` bytes as the Region has them, writable from there to `end`.
  /// out_of_memory: the budget or the device has no room beside the mirrors in use. The pass may then compute over the
  /// memory itself, and write from `valid` to `end` there.
  Result<Hold> prepare(const Request& request);
  /// The same without looking for writes: for a caller that has time while the device computes, and asks
  /// Hold::is_current() before it uses a result.
  Result<Hold> prepare_unchecked(const Request& request);

  /// Frees all that no pass uses.
  void drop();
  /// Forgets what all hold that no pass uses; their memory stays, mapped as it is, for mirrors to come.
  void forget();
  MirrorUse use() const;

 private:
  class SealObserver;

  MirrorCache(std::unique_ptr<MirrorMemory> memory, std::unique_ptr<PageWatch> watch, std::size_t budget);

  // These need mutex_.
  Result<Hold> prepare(const Request& request, bool check);
  Result<void> make_ready(Mirror& mirror, const Request& request, bool check);
  Result<Mirror*> find_or_make(const Request& request);
  /// Addresses for a new mirror, if possible with what it will show.
  Result<std::unique_ptr<MirrorSpan>> find_span(const Region& region, ByteRange range, const Request& request);
  /// Chunks that a new mirror has to make: those whose bytes none holds yet.
  std::size_t count_missing(const Region& region, ByteRange range, const Request& request) const;
  /// Turns mirrors into spares: those whose Region is gone, and of those that no pass uses the ones that `which` picks.
  template <typename Which>
  void retire(const Which& which);
  /// Retires those of any part of a range of the Region.
  void retire_at(const Region& region, ByteRange range);
  /// The mirror that waited longest of those that no pass uses and `which` picks, or null.
  template <typename Which>
  Mirror* oldest(const Which& which) const;
  /// In each chunk, what follows the first page that was written behind the mirror's back is not valid.
  void drop_written(Mirror& mirror);
  /// Makes the first `to` bytes valid.
  Result<void> fill(Mirror& mirror, std::size_t to);
  /// Copies a range of the mirror from the Region.
  Result<void> copy_in(Mirror& mirror, ByteRange range);
  /// A chunk that holds these bytes already, or null.
  std::shared_ptr<MirrorChunk> find_known(const Region::Place& place, std::size_t size) const;
  /// Notes whose bytes a chunk holds: those that are valid, as far as they are sealed. Others may be
  /// written when this mirror is gone, and would have the same name when they are sealed.
  void name_chunk(Mirror& mirror, std::size_t index);
  /// Gives the mirror a chunk of its own at `index`, with its first `keep` bytes.
  Result<void> own_chunk(Mirror& mirror, std::size_t index, std::size_t keep);
  Result<void> map(Mirror& mirror, std::size_t index, std::shared_ptr<MirrorChunk> chunk, bool is_clean);
  Result<std::shared_ptr<MirrorChunk>> make_chunk();
  bool evict_one();
  std::unexpected<Error> no_room() const;
  /// Whether `more` chunks go beyond the budget.
  bool is_full(std::size_t more) const { return (count_chunks() + more) * memory_->chunk_size() > budget_; }
  Result<void> watch(const Mirror& mirror, std::size_t from, std::size_t to);
  std::size_t count_chunks() const;
  /// Calls `visit` with each chunk that a mirror or a spare shows; null ones left out.
  template <typename Visit>
  void each_chunk(const Visit& visit) const;

  mutable std::mutex mutex_;
  std::unique_ptr<MirrorMemory> memory_;
  std::unique_ptr<PageWatch> watch_;
  std::size_t budget_;
  std::uint64_t uses_ = 0;
  MirrorUse counts_;
  std::atomic<std::uint64_t> copied_out_{0};
  std::vector<std::unique_ptr<Mirror>> mirrors_;
  SpareSpans spares_;
  std::shared_ptr<SealObserver> observer_;
};

}  // namespace driftwood
