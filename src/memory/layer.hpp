// Bytes of a file that will never change again: what Images are made of.
//
// A Layer over a memory file owns its range: the pages are given back to the system, or
// in a file of copies to that file, when the last Image or Region that uses them is
// gone. A Layer over a file on disk maps it as it lies there; whoever keeps the file
// must not change or shorten it while the Layer lives. Immutable; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>

#include "core/bytes.hpp"
#include "core/error.hpp"
#include "memory/copy_file.hpp"
#include "memory/layer_view.hpp"
#include "memory/memory_file.hpp"

namespace driftwood {

class Layer {
 public:
  /// Seals `range` of a memory file. Nothing may write it from here on.
  static Result<std::shared_ptr<const Layer>> seal(std::shared_ptr<const MemoryFile> file, ByteRange range);
  /// The same where the range is mapped already, at `at` in `view`.
  static std::shared_ptr<const Layer> seal_viewed(std::shared_ptr<const MemoryFile> file, ByteRange range,
                                                  std::shared_ptr<const LayerView> view, const std::byte* at);
  /// Parts of two Layers as one, which keeps both: null unless the second follows the first in a memory file and can be
  /// read where the first ends.
  static std::shared_ptr<const Layer> join(const std::shared_ptr<const Layer>& low, ByteRange low_part,
                                           const std::shared_ptr<const Layer>& high, ByteRange high_part);
  /// Seals the first `size` bytes of a place, which goes back to `file` in the end.
  static std::shared_ptr<const Layer> seal_copy(std::shared_ptr<CopyFile> file, CopyFile::Place place,
                                                std::size_t size);
  /// A range of a file on disk, both ends multiples of the page size and within the file.
  /// invalid_argument: no whole pages; not_found: it cannot be opened; corrupt: it is shorter than the range;
  /// out_of_memory.
  static Result<std::shared_ptr<const Layer>> open(const std::filesystem::path& file, ByteRange range);
  ~Layer();
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  std::size_t size() const noexcept { return range_.size; }
  /// Where the bytes can be read as long as the Layer lives: one mapping for all who use it.
  const std::byte* view() const noexcept { return data_; }
  /// What to map copy-on-write: a file and the place of the first byte in it.
  int fd() const noexcept { return fd_; }
  std::size_t file_offset() const noexcept { return range_.offset; }
  /// The memory file in which these bytes will never lie anywhere else, nor others in their place; null where there is
  /// none: a file on disk, or of copies.
  const std::shared_ptr<const MemoryFile>& memory_file() const noexcept { return memory_file_; }
  /// How many times Layers were joined, one join upon another, to make this one.
  int joins() const noexcept { return joins_; }

 private:
  Layer() = default;

  std::shared_ptr<const MemoryFile> memory_file_;      ///< null for a file on disk or of copies
  std::shared_ptr<CopyFile> copies_;                   ///< null for another file
  CopyFile::Place place_;                              ///< of copies, of which range_ is the beginning
  int fd_ = -1;                                        ///< owned for a file on disk
  ByteRange range_;                                    ///< in the file
  std::shared_ptr<const LayerView> view_;              ///< null for copies
  const std::byte* data_ = nullptr;                    ///< where range_ is mapped
  std::array<std::shared_ptr<const Layer>, 2> parts_;  ///< of a joined one, which own the bytes
  int joins_ = 0;
};

/// A name for bytes: what has the same name is the same.
struct LayerPlace {
  std::shared_ptr<const void> file;  ///< not to be read
  std::size_t offset = 0;
};
/// The name of the bytes from `offset` in a Layer on.
LayerPlace place_of(const std::shared_ptr<const Layer>& layer, std::size_t offset);

}  // namespace driftwood
