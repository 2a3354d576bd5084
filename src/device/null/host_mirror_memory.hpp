// Mirror memory in the host's own: chunks are pages of a memory file, mapped where they are shown.
//
// What tests run the mirrors on, and the model of what a device's own must do.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "device/mirror/mirror_memory.hpp"
#include "device/null/null_device.hpp"
#include "memory/memory_file.hpp"

namespace driftwood {

class HostMirrorMemory final : public MirrorMemory {
 public:
  /// `chunk_size`: a power of two of at least the page size. `capacity`: chunks in all. Fails as `control` is told.
  static Result<std::unique_ptr<HostMirrorMemory>> create(std::size_t chunk_size, std::size_t capacity,
                                                          std::shared_ptr<NullDeviceControl> control);

  std::size_t chunk_size() const noexcept override { return chunk_size_; }
  Result<std::byte*> reserve(std::size_t size) override;
  void release(std::byte* at, std::size_t size) noexcept override;
  Result<ChunkHandle> make_chunk() override;
  void free_chunk(ChunkHandle chunk) noexcept override;
  Result<void> map(std::byte* at, ChunkHandle chunk) override;
  void unmap(std::byte* at, std::size_t size) noexcept override;
  Result<void> clear(std::byte* at, std::size_t size) override;
  Result<void> copy_in(std::byte* to, const std::byte* host, std::size_t size) override;
  Result<void> copy_out(std::byte* host, const std::byte* from, std::size_t size) override;
  Result<void> copy(std::byte* to, const std::byte* from, std::size_t size) override;
  Result<void> finish() override { return {}; }
  Result<ggml_backend_buffer_t> buffer(std::byte* at, std::size_t size) override;

 private:
  HostMirrorMemory(std::size_t chunk_size, std::size_t capacity, std::shared_ptr<MemoryFile> file,
                   std::shared_ptr<NullDeviceControl> control)
      : chunk_size_(chunk_size), file_(std::move(file)), control_(std::move(control)), used_(capacity) {}

  Result<void> show(std::byte* at, ChunkHandle chunk);

  std::size_t chunk_size_;
  std::shared_ptr<MemoryFile> file_;
  std::shared_ptr<NullDeviceControl> control_;
  std::vector<bool> used_;  ///< by chunk
};

}  // namespace driftwood
