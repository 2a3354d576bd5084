// Memory of a device in pieces that can be mapped at several of its addresses at once: what mirrors lie in.
//
// A chunk is physical memory of one size; an address range of the device shows chunks
// one after another, so that kernels see contiguous bytes, and two ranges may show the
// same chunk. One thread at a time; nothing may be remapped while a pass reads it.
#pragma once

#include <ggml-backend.h>

#include <cstddef>
#include <cstdint>

#include "core/error.hpp"

namespace driftwood {

/// A chunk, by the device's own number.
using ChunkHandle = std::uint64_t;

class MirrorMemory {
 public:
  virtual ~MirrorMemory() = default;

  /// Bytes of a chunk, a power of two.
  virtual std::size_t chunk_size() const noexcept = 0;
  /// Addresses of the device for `size` bytes, a multiple of chunk_size(), without memory.
  virtual Result<std::byte*> reserve(std::size_t size) = 0;
  virtual void release(std::byte* at, std::size_t size) noexcept = 0;
  /// A chunk that is all zeros when it is first shown. out_of_memory.
  virtual Result<ChunkHandle> make_chunk() = 0;
  virtual void free_chunk(ChunkHandle chunk) noexcept = 0;
  /// Shows a chunk at `at`, where none is mapped; and takes away what is mapped at `size` bytes, whole chunks.
  virtual Result<void> map(std::byte* at, ChunkHandle chunk) = 0;
  virtual void unmap(std::byte* at, std::size_t size) noexcept = 0;
  /// Zeros, there after finish().
  virtual Result<void> clear(std::byte* at, std::size_t size) = 0;

  /// Copies. `host` is memory of the host, pageable, and is free when they return; what they write to the device is
  /// there after finish().
  virtual Result<void> copy_in(std::byte* to, const std::byte* host, std::size_t size) = 0;
  virtual Result<void> copy_out(std::byte* host, const std::byte* from, std::size_t size) = 0;
  virtual Result<void> copy(std::byte* to, const std::byte* from, std::size_t size) = 0;

  /// What was mapped and copied is there for passes.
  virtual Result<void> finish() = 0;

  /// A buffer over reserved addresses, for tensors of graphs; freed by the caller.
  virtual Result<ggml_backend_buffer_t> buffer(std::byte* at, std::size_t size) = 0;
};

}  // namespace driftwood
