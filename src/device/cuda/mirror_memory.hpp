// Mirrors in the device's memory: chunks by cuMemCreate, shown by cuMemMap at any number of addresses.
#pragma once

#include <cuda.h>

#include <memory>
#include <mutex>
#include <vector>

#include "core/bytes.hpp"
#include "device/cuda/driver_api.hpp"
#include "device/cuda/staging.hpp"
#include "device/mirror/mirror_memory.hpp"

namespace driftwood::cuda {

class CudaMirrorMemory final : public MirrorMemory {
 public:
  /// unsupported: the device has no virtual memory management. `staging` must outlive it.
  static Result<std::unique_ptr<CudaMirrorMemory>> create(int device, ggml_backend_buffer_type_t type,
                                                          Staging& staging);
  ~CudaMirrorMemory() override;

  std::size_t chunk_size() const noexcept override { return chunk_size_; }
  Result<std::byte*> reserve(std::size_t size) override;
  void release(std::byte* at, std::size_t size) noexcept override;
  Result<ChunkHandle> make_chunk() override;
  void free_chunk(ChunkHandle chunk) noexcept override;
  /// Gives chunks that nobody uses back to the device, all of them. Any thread.
  void trim() noexcept;
  Result<void> map(std::byte* at, ChunkHandle chunk) override;
  void unmap(std::byte* at, std::size_t size) noexcept override;
  Result<void> clear(std::byte* at, std::size_t size) override;
  Result<void> copy_in(std::byte* to, const std::byte* host, std::size_t size) override;
  Result<void> copy_out(std::byte* host, const std::byte* from, std::size_t size) override;
  Result<void> copy(std::byte* to, const std::byte* from, std::size_t size) override;
  Result<void> finish() override;
  Result<ggml_backend_buffer_t> buffer(std::byte* at, std::size_t size) override;

 private:
  CudaMirrorMemory(const DriverApi& driver, int device, ggml_backend_buffer_type_t type, Staging& staging)
      : driver_(driver), device_(device), type_(type), staging_(&staging) {}
  CUmemAllocationProp properties() const noexcept;
  /// out_of_memory: one more chunk of the device's memory would leave too little of it for passes.
  Result<void> ask_for_room();
  /// Allows the device what was mapped since: once for all that lies together.
  Result<void> allow_mapped();

  DriverApi driver_;
  int device_;
  ggml_backend_buffer_type_t type_;  ///< ggml's for the device
  Staging* staging_;
  std::size_t chunk_size_ = 0;
  bool touched_ = false;     ///< something was queued since finish()
  std::size_t granted_ = 0;  ///< chunks that may be made before the device is asked what is free
  std::mutex free_mutex_;
  std::vector<ChunkHandle> free_;       ///< made and used by nobody; a few, for the next ones
  std::vector<ChunkHandle> unclean_;    ///< not zeros yet
  std::vector<ByteRange> not_allowed_;  ///< mapped, by address
  std::vector<CUdeviceptr> to_clear_;   ///< of chunks that were mapped
};

}  // namespace driftwood::cuda
