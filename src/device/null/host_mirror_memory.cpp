#include "device/null/host_mirror_memory.hpp"

#include <fmt/format.h>
#include <ggml-backend.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace driftwood {

Result<std::unique_ptr<HostMirrorMemory>> HostMirrorMemory::create(std::size_t chunk_size, std::size_t capacity,
                                                                   std::shared_ptr<NullDeviceControl> control) {
  DW_TRY_ASSIGN(auto file, MemoryFile::create(chunk_size * capacity));
  return std::unique_ptr<HostMirrorMemory>(
      new HostMirrorMemory(chunk_size, capacity, std::move(file), std::move(control)));
}

namespace {

Result<std::byte*> map_nothing(std::byte* at, std::size_t size) {
  const int fixed = at == nullptr ? 0 : MAP_FIXED;
  void* const mapped = mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
  if (mapped != MAP_FAILED) return static_cast<std::byte*>(mapped);
  return fail(ErrorCode::out_of_memory, fmt::format("The system refused {} bytes of addresses.", size));
}

}  // namespace

Result<std::byte*> HostMirrorMemory::reserve(std::size_t size) { return map_nothing(nullptr, size); }

void HostMirrorMemory::release(std::byte* at, std::size_t size) noexcept { munmap(at, size); }

Result<ChunkHandle> HostMirrorMemory::make_chunk() {
  DW_TRY(control_->next(NullStep::make_chunk));
  const auto free = std::ranges::find(used_, false);
  if (free == used_.end()) {
    return fail(ErrorCode::out_of_memory, fmt::format("All {} chunks of the null device are in use.", used_.size()));
  }
  DW_TRY_ASSIGN(std::byte * at, reserve(chunk_size_));
  const auto chunk = static_cast<ChunkHandle>(free - used_.begin());
  const auto shown = show(at, chunk);
  if (shown) {
    *free = true;
    std::memset(at, 0, chunk_size_);
  }
  release(at, chunk_size_);
  DW_TRY(shown);
  return chunk;
}

void HostMirrorMemory::free_chunk(ChunkHandle chunk) noexcept { used_[chunk] = false; }

Result<void> HostMirrorMemory::map(std::byte* at, ChunkHandle chunk) {
  DW_TRY(control_->next(NullStep::map_chunk));
  return show(at, chunk);
}

Result<void> HostMirrorMemory::show(std::byte* at, ChunkHandle chunk) {
  const auto offset = static_cast<off_t>(chunk * chunk_size_);
  if (mmap(at, chunk_size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file_->fd(), offset) != MAP_FAILED)
    return {};
  return fail(ErrorCode::out_of_memory, fmt::format("The system refused to map chunk {}.", chunk));
}

void HostMirrorMemory::unmap(std::byte* at, std::size_t size) noexcept { DW_CHECK(map_nothing(at, size).has_value()); }

Result<void> HostMirrorMemory::clear(std::byte* at, std::size_t size) {
  DW_TRY(control_->next(NullStep::clear_chunk));
  std::memset(at, 0, size);
  return {};
}

Result<void> HostMirrorMemory::copy_in(std::byte* to, const std::byte* host, std::size_t size) {
  DW_TRY(control_->next(NullStep::copy_in));
  std::memcpy(to, host, size);
  return {};
}

Result<void> HostMirrorMemory::copy_out(std::byte* host, const std::byte* from, std::size_t size) {
  DW_TRY(control_->next(NullStep::copy_out));
  std::memcpy(host, from, size);
  return {};
}

Result<void> HostMirrorMemory::copy(std::byte* to, const std::byte* from, std::size_t size) {
  DW_TRY(control_->next(NullStep::copy_within));
  std::memcpy(to, from, size);
  return {};
}

Result<ggml_backend_buffer_t> HostMirrorMemory::buffer(std::byte* at, std::size_t size) {
  return ggml_backend_cpu_buffer_from_ptr(at, size);
}

}  // namespace driftwood
