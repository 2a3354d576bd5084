// An anonymous file that lives in memory: what Regions and Images map.
//
// memfd on Linux, an unlinked POSIX shared-memory object on macOS. Resizing is
// for its owner alone; mapping may be done from any thread. A file never
// shrinks: a mapping past its end would fault.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "core/error.hpp"

namespace driftwood {

class MemoryFile {
 public:
  /// A file of `size` zero bytes; pages are made when they are first written.
  static Result<std::shared_ptr<MemoryFile>> create(std::size_t size) { return create(size, size); }
  /// The same, to be resized up to `capacity` bytes later. Capacity costs no memory.
  static Result<std::shared_ptr<MemoryFile>> create(std::size_t size, std::size_t capacity);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  /// Open for reading and writing as long as this object lives.
  int fd() const noexcept { return fd_; }
  /// Bytes that may be mapped.
  std::size_t size() const noexcept { return size_; }
  std::size_t capacity() const noexcept { return capacity_; }
  /// Fails with invalid_argument below size() or above capacity(), with
  /// out_of_memory when the system refuses.
  Result<void> resize(std::size_t size);
  /// Writes the pieces one after another from `offset` on; they fit into size(). out_of_memory: there are no pages for
  /// them, and some of the bytes may be written.
  Result<void> write(std::size_t offset, std::span<const std::span<const std::byte>> pieces);

 private:
  MemoryFile(int fd, std::size_t size, std::size_t capacity) : fd_(fd), size_(size), capacity_(capacity) {}
  int fd_ = -1;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace driftwood
