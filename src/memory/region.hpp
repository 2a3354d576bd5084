// Page-aligned reserved memory that a guest, a device and the host share.
//
//   base                        size()              reserved()      reserved() + guard
//    |  committed, read-write    |  PROT_NONE        |  PROT_NONE     |
//    +---------------------------+-------------------+----------------+
//    ^ linear memory of a guest, buffer of a device (Import), view of the host
//
// Always: the base never moves; size() only grows and is a multiple of the page
// size; bytes never written read as zero; no page under a live Pin is remapped.
// Growing and pinning may be called from any thread; reading and writing the
// bytes is for the callers to order.
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/bytes.hpp"
#include "core/error.hpp"
#include "memory/memory_file.hpp"

namespace driftwood {

/// The system's page size in bytes (4, 16 or 64 KiB): asked, never assumed.
std::size_t page_size() noexcept;

/// What lies under a Region's pages.
enum class Backing {
  memory_file,    ///< a memory file of its own, mapped shared
  copy_on_write,  ///< an Image's memory file, mapped privately: writes stay in this Region
};

struct RegionOptions {
  std::size_t reserve = 0;  ///< bytes of address space, a multiple of the page size, not 0
  std::size_t commit = 0;   ///< bytes usable at once, a multiple of the page size, at most `reserve`
  std::size_t guard = 0;    ///< bytes after the reservation that always fault, a multiple of the page size
};

class Region;

/// A hold on a byte range: while it lives, the pages under it are not remapped
/// and the Region may not be destroyed. Move-only.
class Pin {
 public:
  Pin() = default;
  Pin(Pin&& other) noexcept;
  Pin& operator=(Pin&& other) noexcept;
  ~Pin();

  ByteRange range() const noexcept { return range_; }
  explicit operator bool() const noexcept { return region_ != nullptr; }

 private:
  friend class Region;
  Pin(Region& region, ByteRange range) : region_(&region), range_(range) {}
  Region* region_ = nullptr;
  ByteRange range_;
};

class Region {
 public:
  /// A fresh Region of zeros over a memory file of its own.
  /// Fails with invalid_argument for a size that is zero, no multiple of the
  /// page size or larger than the reservation; out_of_memory when the system
  /// refuses the address space or the file.
  static Result<std::unique_ptr<Region>> create(const RegionOptions& options);

  /// A Region whose first bytes are those of `image`, mapped copy-on-write and
  /// lazily: nothing is read or copied here. `options.commit` must be at least
  /// the image's size; what lies beyond it reads as zero.
  static Result<std::unique_ptr<Region>> create_copy_on_write(std::shared_ptr<const MemoryFile> image,
                                                              const RegionOptions& options);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  std::byte* data() noexcept { return base_; }
  const std::byte* data() const noexcept { return base_; }
  /// Committed bytes.
  std::size_t size() const noexcept { return size_.load(std::memory_order_acquire); }
  std::size_t reserved() const noexcept { return options_.reserve; }
  Backing backing() const noexcept { return backing_; }
  /// All committed bytes; dies with the Region, and is too short after a grow().
  std::span<std::byte> bytes() noexcept { return {base_, size()}; }

  /// Commits up to `new_size` bytes (a multiple of the page size, at least size()).
  /// The base and every byte stay. Fails with invalid_argument for a size that is smaller
  /// or mis-sized, with out_of_memory beyond the reservation or when the system refuses;
  /// the Region is then as it was.
  Result<void> grow(std::size_t new_size);

  /// Holds `range`, which must lie in the committed bytes and not be empty.
  Result<Pin> pin(ByteRange range);
  /// Live pins that touch `range`.
  std::size_t pins(ByteRange range) const;

  /// The file that the Region's own pages lie in, each at its offset in the Region.
  /// None while a copy-on-write Region is no larger than its image.
  std::shared_ptr<const MemoryFile> file() const;

 private:
  friend class Pin;

  /// Committed bytes that are mapped in one way.
  struct Segment {
    ByteRange range;
    Backing backing;
    std::shared_ptr<const MemoryFile> file;
    std::size_t file_offset;
  };

  Region(const RegionOptions& options, Backing backing, std::byte* base);
  static Result<std::unique_ptr<Region>> reserve(const RegionOptions& options, Backing backing);
  /// Maps a segment that begins where the last one ends, and commits it. Needs mutex_.
  Result<void> append(Segment segment);
  /// Commits pages of the Region's own file up to `new_size`. Needs mutex_.
  Result<void> extend(std::size_t new_size);
  void unpin(ByteRange range) noexcept;

  const RegionOptions options_;
  const Backing backing_;
  std::byte* const base_;
  std::atomic<std::size_t> size_{0};
  mutable std::mutex mutex_;
  std::shared_ptr<MemoryFile> file_;
  std::vector<Segment> segments_;                 ///< by offset, without gaps, up to size()
  std::multimap<std::size_t, std::size_t> pins_;  ///< offset -> size
};

}  // namespace driftwood
