// A memory file for copies of pages, in places that are used again.
//
// A Region copies about as many pages at each seal, the same ones as a rule. A place whose
// Layer is gone is written anew by the next seal: its pages are there, and mapped, which
// costs a small part of making new ones. Whoever took a place has it alone until it is
// given back: what is sealed in one is never touched. Taking and writing are for one
// thread at a time; giving back is for any.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>

#include "core/bytes.hpp"
#include "core/error.hpp"
#include "memory/layer_view.hpp"
#include "memory/memory_file.hpp"

namespace driftwood {

class CopyFile {
 public:
  /// A part of the file that somebody has alone.
  struct Place {
    ByteRange range;                         ///< in the file, multiples of the page size
    std::byte* at = nullptr;                 ///< the same bytes, for reading and writing
    std::shared_ptr<const LayerView> chunk;  ///< holds the mapping
    std::size_t filled = 0;                  ///< bytes from the first on that have pages; the others are zero
  };

  /// A file that will hold up to `capacity` bytes, which cost nothing.
  static Result<std::shared_ptr<CopyFile>> create(std::size_t capacity);
  CopyFile(const CopyFile&) = delete;
  CopyFile& operator=(const CopyFile&) = delete;

  int fd() const noexcept { return file_->fd(); }
  /// Whether take(size) finds room.
  bool has_room(std::size_t size) const;
  /// A place of `size` bytes or more, one that was given back or a fresh one. Needs has_room(size).
  Result<Place> take(std::size_t size);
  /// A place of `size` bytes or more that was never written: all zeros. Needs has_room(size).
  Result<Place> take_fresh(std::size_t size);
  /// Writes the pieces, which fit, one after another from `offset` in `place` on.
  /// out_of_memory: there are no pages for them.
  Result<void> write(Place& place, std::size_t offset, std::span<const std::span<const std::byte>> pieces);
  /// Keeps a place that nobody uses any more for another use, or gives its pages back to the system.
  void give_back(Place place) noexcept;
  /// Nobody will take a place any more: gives the spare pages back to the system, and those that come.
  void close() noexcept;

 private:
  explicit CopyFile(std::shared_ptr<MemoryFile> file) : file_(std::move(file)) {}

  static constexpr std::size_t kSpares = 2;

  const std::shared_ptr<MemoryFile> file_;
  std::shared_ptr<const LayerView> chunk_;  ///< the last part of the file that was mapped
  std::size_t chunk_offset_ = 0;            ///< in the file
  ByteRange left_;                          ///< of the chunk, where no place is yet; in the file
  std::mutex mutex_;                        ///< for what follows
  std::array<Place, kSpares> spares_;       ///< empty ones have no size
  bool closed_ = false;
};

}  // namespace driftwood
