// One range of a Region as a device holds it: addresses, and the chunks that are mapped there.
//
// Internal to src/device/mirror. `valid` bytes from the start are those of the Region as
// it was when last looked at. Chunks may be shown by several mirrors (the prefix of
// forks); one that is written is shown by one alone. One thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "device/mirror/mirror_memory.hpp"
#include "memory/region.hpp"

namespace driftwood {

/// Physical memory of the device. Known by the place whose bytes it holds, as far as it holds them.
struct MirrorChunk {
  MirrorChunk(MirrorMemory& device, ChunkHandle made) : memory(&device), handle(made) {}
  ~MirrorChunk() { memory->free_chunk(handle); }
  MirrorChunk(const MirrorChunk&) = delete;
  MirrorChunk& operator=(const MirrorChunk&) = delete;

  MirrorMemory* memory;
  ChunkHandle handle;
  std::weak_ptr<const void> file;  ///< whose bytes it holds; expired: nobody's by name
  std::size_t file_offset = 0;
  std::size_t known = 0;  ///< bytes from its start that are the file's
};

class Mirror {
 public:
  /// Addresses for `range` of `region`; nothing is copied.
  static Result<std::unique_ptr<Mirror>> create(MirrorMemory& memory, const Region& region, std::byte* host,
                                                ByteRange range);
  ~Mirror();
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;

  bool is_of(const Region& region, ByteRange range) const noexcept {
    return region_ == &region && range_ == range && !region_life_.expired();
  }
  /// The Region is gone: nothing of it may be touched.
  bool is_orphan() const noexcept { return region_life_.expired(); }
  const Region& region() const noexcept { return *region_; }
  ByteRange range() const noexcept { return range_; }
  std::byte* host() const noexcept { return host_; }
  std::byte* device() const noexcept { return device_; }
  ggml_backend_buffer_t buffer() const noexcept { return buffer_; }

  /// Bytes of addresses.
  std::size_t reserved() const noexcept { return (chunks_.size() + 1) * memory_->chunk_size(); }
  std::size_t n_chunks() const noexcept { return chunks_.size(); }
  const std::shared_ptr<MirrorChunk>& chunk(std::size_t index) const noexcept { return chunks_[index]; }
  /// Shows `chunk` (not null) at its place instead of what is there.
  Result<void> set_chunk(std::size_t index, std::shared_ptr<MirrorChunk> chunk);
  /// Takes all chunks away; nothing is valid then.
  void clear() noexcept;

  std::size_t valid = 0;       ///< bytes from the start
  std::uint64_t last_use = 0;  ///< by the cache's count
  int holds = 0;               ///< passes that use it now

 private:
  Mirror(MirrorMemory& memory, const Region& region, std::byte* host, ByteRange range)
      : memory_(&memory), region_(&region), region_life_(region.life()), host_(host), range_(range) {}

  MirrorMemory* memory_;
  const Region* region_;
  std::weak_ptr<const void> region_life_;
  std::byte* host_;
  ByteRange range_;
  std::byte* device_ = nullptr;
  ggml_backend_buffer_t buffer_ = nullptr;
  std::vector<std::shared_ptr<MirrorChunk>> chunks_;  ///< null: nothing mapped
};

}  // namespace driftwood
