// Addresses of a device, one after another, and the chunks that they show.
//
// Internal to src/device/mirror. Mapping and unmapping cost calls to a driver, so a span
// outlives the mirror that it was made for: the next one takes it as it is, and only what
// differs is mapped anew. A chunk may be shown by several spans (the prefix of forks);
// one that is written is shown by one alone. One thread at a time.
#pragma once

#include <memory>
#include <vector>

#include "device/mirror/mirror_memory.hpp"
#include "memory/region.hpp"

namespace driftwood {

/// Physical memory of the device. Known by the place whose bytes it holds, as far as it holds them; only by one that is
/// sealed, which never changes.
struct MirrorChunk {
  MirrorChunk(MirrorMemory& device, ChunkHandle made) : memory(&device), handle(made) {}
  ~MirrorChunk() { memory->free_chunk(handle); }
  MirrorChunk(const MirrorChunk&) = delete;
  MirrorChunk& operator=(const MirrorChunk&) = delete;

  /// Whether its first `size` bytes are those that lie at `place`.
  bool holds(const Region::Place& place, std::size_t size) const {
    return known >= size && file_offset == place.file_offset && file.lock() == place.file;
  }

  MirrorMemory* memory;
  ChunkHandle handle;
  std::weak_ptr<const void> file;  ///< whose bytes it holds; expired: nobody's by name
  std::size_t file_offset = 0;
  std::size_t known = 0;  ///< bytes from its start that are the file's
};

class MirrorSpan {
 public:
  /// Addresses for at least `size` bytes, without chunks.
  static Result<std::unique_ptr<MirrorSpan>> create(MirrorMemory& memory, std::size_t size);
  ~MirrorSpan();
  MirrorSpan(const MirrorSpan&) = delete;
  MirrorSpan& operator=(const MirrorSpan&) = delete;

  std::byte* device() const noexcept { return device_; }
  ggml_backend_buffer_t buffer() const noexcept { return buffer_; }
  /// Bytes of addresses.
  std::size_t reserved() const noexcept { return (slots_.size() + 1) * memory_->chunk_size(); }

  std::size_t n_chunks() const noexcept { return slots_.size(); }
  std::size_t chunk_size() const noexcept { return memory_->chunk_size(); }
  /// Null: nothing is mapped there.
  const std::shared_ptr<MirrorChunk>& chunk(std::size_t index) const noexcept { return slots_[index].chunk; }
  /// Whether anything is mapped at all.
  bool has_chunks() const noexcept;
  /// Shows `chunk` (not null) at its place instead of what is there. `is_clean`: it has nobody's bytes yet.
  Result<void> set_chunk(std::size_t index, std::shared_ptr<MirrorChunk> chunk, bool is_clean);
  /// Clears what a chunk that is this span's alone has behind its first `keep` bytes, unless all that is there was
  /// written through this span since it was given to its mirror: kernels read behind the rows that count.
  Result<void> clean(std::size_t index, std::size_t keep);
  /// The bytes of the chunks are not those of the mirror that takes the span now.
  void give_away() noexcept;
  /// Takes all chunks away.
  void clear() noexcept;

 private:
  struct Slot {
    std::shared_ptr<MirrorChunk> chunk;
    bool is_clean = false;  ///< zeros and the mirror's own bytes, nothing else
  };

  MirrorSpan(MirrorMemory& memory, std::size_t n_chunks) : memory_(&memory), slots_(n_chunks) {}

  MirrorMemory* memory_;
  std::byte* device_ = nullptr;
  ggml_backend_buffer_t buffer_ = nullptr;
  std::vector<Slot> slots_;
};

}  // namespace driftwood
