// Page-aligned reserved memory that a guest, a device and the host share.
//
//   base                        size()              reserved()      reserved() + guard
//    |  committed, read-write    |  PROT_NONE        |  PROT_NONE     |
//    +---------------------------+-------------------+----------------+
//    ^ linear memory of a guest, buffer of a device (Import), view of the host
//
// Fresh pages lie in a memory file of the Region's own, mapped shared. seal() turns
// what was written into an Image: pages of the own file stay where they are and are
// mapped copy-on-write from then on; pages that were copied on write move into a new
// Layer, and are left where they are too: pages written between two seals are likely to
// be written again. So is the last page of a run that grows from seal to seal: the Image
// has a copy, until the page is sealed with those that follow it. So the cost of a seal
// follows the pages written since the one before, and what grows stays in one piece.
//
// Another process maps the same files. Pages that were copied on write lie in none, so share() moves
// them, and those that are to be written there, into a file of the Region's as well, mapped shared at
// their offset; they stay there until a seal maps a Layer in their place. A moved page is to all else
// what a page copied on write is: hidden from the Image until the next seal, and then left in place.
//
// Always: the base never moves; size() only grows and is a multiple of the page
// size; bytes never written read as zero; no page under a live Pin is remapped, but
// by share(), which is for the one that holds it.
// Growing and pinning may be called from any thread; reading, writing and sealing the
// bytes is for the callers to order.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/bytes.hpp"
#include "core/error.hpp"
#include "memory/image.hpp"
#include "memory/memory_file.hpp"

namespace driftwood {

/// The system's page size in bytes (4, 16 or 64 KiB): asked, never assumed.
std::size_t page_size() noexcept;

struct RegionOptions {
  std::size_t reserve = 0;  ///< bytes of address space, a multiple of the page size, not 0
  std::size_t commit = 0;   ///< bytes usable at once, a multiple of the page size, at most `reserve`
  std::size_t guard = 0;    ///< bytes after the reservation that always fault, a multiple of the page size
};

class Region;

/// Hears of what a Region is about to do. Called on the thread that does it.
class RegionObserver {
 public:
  virtual ~RegionObserver() = default;
  /// Before the pages are mapped anew; the bytes stay as they are.
  virtual void before_seal(const Region& region) noexcept = 0;
  /// After a seal that succeeded, before anything is written again.
  virtual void after_seal(const Region& region) noexcept = 0;
};

/// A hold on a byte range: while it lives, the pages under it are not remapped
/// and the Region may not be destroyed. Move-only.
class Pin {
 public:
  Pin() = default;
  Pin(Pin&& other) noexcept;
  Pin& operator=(Pin&& other) noexcept;
  ~Pin();

  ByteRange range() const noexcept { return range_; }
  const Region* region() const noexcept { return region_; }
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

  /// A Region whose first bytes are those of `image`, mapped copy-on-write and lazily: nothing is read or
  /// copied here. `options.commit` must be at least the image's size; what lies beyond it reads as zero.
  static Result<std::unique_ptr<Region>> create_over(std::shared_ptr<const Image> image, const RegionOptions& options);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  std::byte* data() noexcept { return base_; }
  const std::byte* data() const noexcept { return base_; }
  /// Committed bytes.
  std::size_t size() const noexcept { return size_.load(std::memory_order_acquire); }
  std::size_t reserved() const noexcept { return options_.reserve; }
  /// Bytes behind the reservation that always fault.
  std::size_t guard() const noexcept { return options_.guard; }
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

  /// Makes what the bytes are now an Image, and goes on copy-on-write over it. No byte changes.
  /// unavailable: a Pin is live; out_of_memory: the system refused, and the bytes are as they were.
  Result<std::shared_ptr<const Image>> seal();
  /// The Image that the Region was created over or sealed into last; null when there is none.
  std::shared_ptr<const Image> image() const;

  /// Bytes that can be read at another address too, which all Regions over the same Image share.
  struct CleanPiece {
    ByteRange range;      ///< in the Region
    const std::byte* at;  ///< the same bytes in a Layer's view; valid while image() is the same
  };
  /// The parts of `range`, in order, that are as the Image has them: not written since. Pages never sealed are not
  /// among them. Costs a system call where there is a fast way to tell; elsewhere the list is empty.
  std::vector<CleanPiece> clean_pieces(ByteRange range) const;
  /// The parts of `range`, in order, in pages that this Region alone has: all but those that show a Layer and were not
  /// written since. Of the others nobody can tell by the Image alone that they are what they were at some time before:
  /// they may have changed and changed back. Costs what clean_pieces costs; where the system cannot tell, it is all.
  std::vector<ByteRange> owned(ByteRange range) const;
  /// Where bytes lie: two places of one file and offset hold the same bytes, once they are sealed.
  struct Place {
    ByteRange range;                   ///< in the Region
    std::shared_ptr<const void> file;  ///< a name for what they lie in, not to be read
    std::size_t file_offset = 0;
    bool sealed = false;  ///< they will not change there; else they are the Region's own, as it writes them
  };
  /// The parts of `range`, in order, that lie in a file; pages that were copied on write lie in none. Costs what
  /// clean_pieces costs.
  std::vector<Place> places(ByteRange range) const;

  /// A part of a Region's bytes as another process can map it.
  struct SharedPiece {
    ByteRange range;              ///< in the Region, whole pages
    int fd = -1;                  ///< open while `file` is held
    std::size_t file_offset = 0;  ///< of the first byte
    bool sealed = false;          ///< to be read only, or mapped copy-on-write; else what one writes the other reads
    std::shared_ptr<const void> file;  ///< keeps `fd` and the bytes
  };
  struct Shared {
    std::uint64_t version = 0;  ///< another one where pages were mapped anew since
    std::vector<SharedPiece> pieces;
  };
  /// Makes the pages of `range` ones that another process can map, those of `writes` (in the Region, within `range`)
  /// such that it can write them, and says where they are. No byte changes. What this process writes later to a sealed
  /// page is its own until the next call, which says so by another version. Copies the pages written since they were
  /// sealed, once; costs what clean_pieces costs otherwise. invalid_argument: not in the committed bytes;
  /// out_of_memory: some of the pages may have moved.
  Result<Shared> share(ByteRange range, std::span<const ByteRange> writes);

  /// Expires with the Region.
  std::weak_ptr<const void> life() const noexcept { return life_; }
  /// `observer` hears of this Region as long as both live.
  void observe(std::weak_ptr<RegionObserver> observer) const;

  /// Bytes of the pages that were written since the last seal (or ever, where there was none), those that share a
  /// page included: what the next seal takes.
  Result<std::size_t> written_bytes() const { return written_bytes({0, size()}); }
  /// The same of the pages that `range`, which lies within size(), touches.
  Result<std::size_t> written_bytes(ByteRange range) const;

 private:
  friend class Pin;

  /// Where pages of a Region are.
  enum class Pages : std::uint8_t {
    own,     ///< in file_ at the same offset, mapped shared
    moved,   ///< in moved_ at the same offset, mapped shared
    copied,  ///< copied on write, all of them: in no file
    layer,   ///< in the Layer, mapped copy-on-write; in no file, those that were written since
  };

  /// Committed bytes whose pages are in one way.
  struct Segment {
    ByteRange range;
    Pages pages = Pages::own;
    std::shared_ptr<const Layer> layer;  ///< has the bytes as the last seal found them; null: never sealed there
    std::size_t layer_offset = 0;
    std::uint64_t sealed_at = 0;  ///< where in_place(): the seal that copied it

    /// As the own file has it, never sealed.
    bool is_fresh() const noexcept { return pages == Pages::own && layer == nullptr; }
    /// Mapped shared: what is written goes to a file of the Region's.
    bool in_file() const noexcept { return pages == Pages::own || pages == Pages::moved; }
    /// What of it lies in `within`, which it overlaps.
    Segment part_in(ByteRange within) const;
    /// A page of the own file in which a run may go on: the Layer has a copy.
    bool is_tail() const noexcept { return pages == Pages::own && layer != nullptr; }
    /// The Layer is not mapped: it is a copy of pages that are this Region's alone, to be compared with it.
    bool in_place() const noexcept { return layer != nullptr && pages != Pages::layer; }
  };

  Region(const RegionOptions& options, std::byte* base);
  static Result<std::unique_ptr<Region>> reserve(const RegionOptions& options);

  // All of these need mutex_.

  /// Commits pages of the Region's own file up to `new_size`.
  Result<void> extend(std::size_t new_size);
  /// Maps `range` copy-on-write over a Layer that has the same bytes.
  Result<void> map_layer(ByteRange range, std::shared_ptr<const Layer> layer, std::size_t layer_offset);
  /// Notes what `now.range` holds from here on.
  void record(Segment now);
  /// Maps a range of the own file into own_view_ too, for reading there.
  Result<const std::byte*> view_own(ByteRange range);
  /// The ranges without a gap that are not fresh, clipped to `within`.
  std::vector<ByteRange> layered(ByteRange within) const;
  /// The parts of `range`, which is layered, that were written since it was sealed.
  Result<std::vector<ByteRange>> written(ByteRange range) const;
  /// Adds what lies in `range`, which is layered and was not written, to `pieces`.
  void add_clean(ByteRange range, std::vector<CleanPiece>& pieces) const;
  /// A Layer of these bytes, one range after another.
  Result<std::shared_ptr<const Layer>> copy(std::span<const ByteRange> ranges);
  /// The file of copies, with room for `size` bytes.
  Result<std::shared_ptr<CopyFile>> copies_for(std::size_t size);
  /// What of the own file's fresh pages is in use.
  struct OwnUse {
    std::vector<ByteRange> runs;       ///< with the tails that they continue, without their own
    std::vector<ByteRange> continued;  ///< these tails
    std::vector<ByteRange> tails;      ///< the last pages of runs that continue what was sealed, and so may go on
  };
  Result<OwnUse> find_own_use() const;
  /// Whether the own file's bytes just before `offset` are sealed where they are.
  bool continues_own(std::size_t offset) const;
  /// Copies what was written over Layers, and the tails.
  Result<void> seal_written(const OwnUse& own);
  /// Copies `pages` into a Layer of their own and leaves them in place.
  Result<void> seal_in_place(std::span<const ByteRange> pages);
  bool is_in_place(ByteRange range) const;
  /// The parts of `range` whose pages lie in file_ or moved_.
  std::vector<Segment> shared_in(ByteRange range) const;
  /// The parts of `range` that lie in no file: copied on write.
  Result<std::vector<ByteRange>> private_pages(ByteRange range) const;
  /// Moves the pages of `range`, of those that show Layers or hide them, into moved_.
  Result<void> move_pages(ByteRange range);
  /// Makes every page of `range`, which is layered, one that this Region alone has.
  void own_pages(ByteRange range) noexcept;
  /// Maps what was left in place by earlier seals, and not written since, over its Layers, where it is much.
  Result<void> settle();
  /// Seals a run of fresh pages where it is.
  Result<void> seal_own(ByteRange run);
  /// `run` and clean pages of the own file before it whose page table would be left behind empty.
  ByteRange with_empty_table(ByteRange run) const;
  /// Layers that follow one another in a file become one where both consist of about as many.
  void join_neighbours();
  /// Copies extents into common Layers where there are too many.
  Result<void> flatten();
  /// Copies the extents in `span` into one Layer.
  Result<void> flatten(ByteRange span);

  void unpin(ByteRange range) noexcept;
  Result<std::shared_ptr<const Image>> seal_now();
  std::vector<std::shared_ptr<RegionObserver>> observers() const;

  const RegionOptions options_;
  std::byte* const base_;
  std::atomic<std::size_t> size_{0};
  mutable std::mutex mutex_;
  std::shared_ptr<MemoryFile> file_;           ///< own pages, each at its offset in the Region; null before the first
  std::shared_ptr<const LayerView> own_view_;  ///< address space in which sealed parts of file_ lie by their offset
  std::size_t own_view_size_ = 0;              ///< bytes of file_ that have a place in it
  std::shared_ptr<MemoryFile> moved_;          ///< pages that share() moved, each at its offset; null before the first
  std::shared_ptr<CopyFile> copies_;           ///< Layers of pages that were copied on write; null before the first
  std::vector<Segment> segments_;              ///< by offset, without gaps, up to size()
  std::uint64_t seals_ = 0;                    ///< how many there were
  std::uint64_t mappings_ = 0;                 ///< how often segments_ changed
  std::shared_ptr<const Image> image_;
  std::multimap<std::size_t, std::size_t> pins_;  ///< offset -> size
  mutable std::vector<std::weak_ptr<RegionObserver>> observers_;
  std::shared_ptr<const int> life_ = std::make_shared<const int>(0);
};

}  // namespace driftwood
