// Bytes of a file that will never change again: what Images are made of.
//
// A Layer over a memory file owns its range: the pages are given back to the system
// when the last Image or Region that uses them is gone. A Layer over a file on disk
// maps it as it lies there; whoever keeps the file must not change or shorten it
// while the Layer lives. Immutable; any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>

#include "core/bytes.hpp"
#include "core/error.hpp"
#include "memory/memory_file.hpp"

namespace driftwood {

/// Address space in which a Layer's bytes can be read. Move-only.
class LayerView {
 public:
  /// Maps a range of a file.
  static Result<LayerView> map(int fd, ByteRange range);
  /// Addresses to move a mapping to.
  static Result<LayerView> reserve(std::size_t size);
  LayerView() = default;
  LayerView(LayerView&& other) noexcept;
  LayerView& operator=(LayerView&& other) noexcept;
  ~LayerView();

  std::byte* data() const noexcept { return data_; }
  /// Moves data() on inside of what was reserved.
  void advance(std::size_t bytes) noexcept { data_ += bytes; }

 private:
  std::byte* base_ = nullptr;
  std::size_t size_ = 0;
  std::byte* data_ = nullptr;
};

class Layer {
 public:
  /// Seals `range` of a memory file. Nothing may write it from here on.
  static Result<std::shared_ptr<const Layer>> seal(std::shared_ptr<const MemoryFile> file, ByteRange range);
  /// The same where the range is mapped already.
  static std::shared_ptr<const Layer> seal_viewed(std::shared_ptr<const MemoryFile> file, ByteRange range,
                                                  LayerView view);
  /// A range of a file on disk, both ends multiples of the page size and within the file.
  /// invalid_argument: no whole pages; not_found: it cannot be opened; corrupt: it is shorter than the range;
  /// out_of_memory.
  static Result<std::shared_ptr<const Layer>> open(const std::filesystem::path& file, ByteRange range);
  ~Layer();
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  std::size_t size() const noexcept { return range_.size; }
  /// Where the bytes can be read as long as the Layer lives: one mapping for all who use it.
  const std::byte* view() const noexcept { return view_.data(); }
  /// What to map copy-on-write: a file and the place of the first byte in it.
  int fd() const noexcept { return fd_; }
  /// The memory file that holds the bytes; null for a file on disk.
  const std::shared_ptr<const MemoryFile>& memory_file() const noexcept { return memory_file_; }
  std::size_t file_offset() const noexcept { return range_.offset; }

 private:
  Layer() = default;

  std::shared_ptr<const MemoryFile> memory_file_;  ///< null for a file on disk
  int fd_ = -1;                                    ///< owned for a file on disk, else the memory file's
  ByteRange range_;                                ///< in the file
  LayerView view_;
};

}  // namespace driftwood
