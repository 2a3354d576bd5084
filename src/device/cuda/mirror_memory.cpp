#include "device/cuda/mirror_memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "device/cuda/buffers.hpp"
#include "device/cuda/status.hpp"

namespace driftwood::cuda {
namespace {

/// Each chunk is mapped by a call to the driver; and forks of a sequence own one for what they append.
constexpr std::size_t kLeastChunk = 8 * kMiB;
/// Chunks that are kept when nobody uses them: what a mirror that goes leaves to the next one.
constexpr std::size_t kMostFree = 16;
/// Chunks for which the device is asked at once what is free.
constexpr std::size_t kGrant = 16;
/// Memory of the device that chunks leave to passes, and to whoever else uses it: a sixteenth of it, at most this.
constexpr std::size_t kMostLeft = 1 * kGiB;

CUdeviceptr address_of(const std::byte* at) { return reinterpret_cast<CUdeviceptr>(at); }

}  // namespace

CUmemAllocationProp CudaMirrorMemory::properties() const noexcept {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device_};
  return properties;
}

Result<std::unique_ptr<CudaMirrorMemory>> CudaMirrorMemory::create(int device, ggml_backend_buffer_type_t type,
                                                                   Staging& staging) {
  DW_TRY_ASSIGN(const DriverApi& driver, driver_api());
  int supported = 0;
  DW_TRY(check(driver.device_get_attribute(&supported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, device),
               "asking for virtual memory management"));
  if (supported == 0) {
    return fail(ErrorCode::unsupported, "The device cannot map one piece of its memory at several addresses.");
  }
  std::unique_ptr<CudaMirrorMemory> memory(new CudaMirrorMemory(driver, device, type, staging));
  const CUmemAllocationProp properties = memory->properties();
  DW_TRY(check(
      driver.mem_get_allocation_granularity(&memory->chunk_size_, &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
      "asking for the size of chunks"));
  memory->chunk_size_ = std::max(memory->chunk_size_, kLeastChunk);
  return memory;
}

CudaMirrorMemory::~CudaMirrorMemory() { trim(); }

void CudaMirrorMemory::trim() noexcept {
  const std::lock_guard lock(free_mutex_);
  for (const ChunkHandle chunk : std::exchange(free_, {})) driver_.mem_release(chunk);
}

Result<std::byte*> CudaMirrorMemory::reserve(std::size_t size) {
  CUdeviceptr at = 0;
  DW_TRY(check(driver_.mem_address_reserve(&at, size, chunk_size_, 0, 0),
               fmt::format("reserving {} bytes of addresses", size)));
  return reinterpret_cast<std::byte*>(at);
}

void CudaMirrorMemory::release(std::byte* at, std::size_t size) noexcept {
  driver_.mem_address_free(address_of(at), size);
}

Result<void> CudaMirrorMemory::ask_for_room() {
  if (granted_ == 0) {
    std::size_t free = 0;
    std::size_t total = 0;
    DW_TRY(check(cudaSetDevice(device_), "choosing the device"));
    DW_TRY(check(cudaMemGetInfo(&free, &total), "asking for the free memory"));
    const std::size_t left = std::min(total / 16, kMostLeft);
    granted_ = std::min(free > left ? (free - left) / chunk_size_ : 0, kGrant);
    if (granted_ == 0) {
      return fail(
          ErrorCode::out_of_memory,
          fmt::format("The device has {} of its memory free, which passes need: KV rows find no more room there.",
                      format_bytes(free)));
    }
  }
  --granted_;
  return {};
}

Result<ChunkHandle> CudaMirrorMemory::make_chunk() {
  {
    const std::lock_guard lock(free_mutex_);
    if (!free_.empty()) {
      unclean_.push_back(free_.back());
      free_.pop_back();
      return unclean_.back();
    }
  }
  DW_TRY(ask_for_room());
  const CUmemAllocationProp properties = this->properties();
  CUmemGenericAllocationHandle handle = 0;
  DW_TRY(check(driver_.mem_create(&handle, chunk_size_, &properties, 0), "making a chunk for KV rows"));
  unclean_.push_back(handle);
  return handle;
}

void CudaMirrorMemory::free_chunk(ChunkHandle chunk) noexcept {
  std::erase(unclean_, chunk);
  const std::lock_guard lock(free_mutex_);
  if (free_.size() < kMostFree) {
    free_.push_back(chunk);
  } else {
    driver_.mem_release(chunk);
  }
}

Result<void> CudaMirrorMemory::map(std::byte* at, ChunkHandle chunk) {
  DW_TRY(check(driver_.mem_map(address_of(at), chunk_size_, 0, chunk, 0), "mapping KV rows"));
  if (std::erase(unclean_, chunk) != 0) to_clear_.push_back(address_of(at));
  const ByteRange range{address_of(at), chunk_size_};
  if (!not_allowed_.empty() && not_allowed_.back().offset + not_allowed_.back().size == range.offset) {
    not_allowed_.back().size += range.size;
  } else {
    not_allowed_.push_back(range);
  }
  return {};
}

void CudaMirrorMemory::unmap(std::byte* at, std::size_t size) noexcept {
  // The addresses must be allowed and out of use before they are taken away.
  (void)allow_mapped();
  driver_.mem_unmap(address_of(at), size);
}

Result<void> CudaMirrorMemory::clear(std::byte* at, std::size_t size) {
  DW_TRY(allow_mapped());
  touched_ = true;
  return check(cudaMemsetAsync(at, 0, size, staging_->stream()), "clearing KV rows");
}

Result<void> CudaMirrorMemory::allow_mapped() {
  // The thread's last work may have been another card's.
  DW_TRY(check(cudaSetDevice(device_), "choosing the device"));
  const CUmemAccessDesc access{.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device_},
                               .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  for (const ByteRange& range : std::exchange(not_allowed_, {})) {
    DW_TRY(check(driver_.mem_set_access(range.offset, range.size, &access, 1), "allowing the device its KV rows"));
  }
  for (const CUdeviceptr at : std::exchange(to_clear_, {})) {
    touched_ = true;
    DW_TRY(check(cudaMemsetAsync(reinterpret_cast<void*>(at), 0, chunk_size_, staging_->stream()), "clearing KV rows"));
  }
  return {};
}

Result<void> CudaMirrorMemory::copy_in(std::byte* to, const std::byte* host, std::size_t size) {
  DW_TRY(allow_mapped());
  touched_ = true;
  return staging_->to_device(to, host, size);
}

Result<void> CudaMirrorMemory::copy_out(std::byte* host, const std::byte* from, std::size_t size) {
  return staging_->to_host(host, from, size);
}

Result<void> CudaMirrorMemory::copy(std::byte* to, const std::byte* from, std::size_t size) {
  DW_TRY(allow_mapped());
  DW_TRY(check(cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToDevice, staging_->stream()), "copying KV rows"));
  touched_ = true;
  return finish();
}

Result<void> CudaMirrorMemory::finish() {
  DW_TRY(allow_mapped());
  return std::exchange(touched_, false) ? staging_->finish() : Result<void>{};
}

Result<ggml_backend_buffer_t> CudaMirrorMemory::buffer(std::byte* at, std::size_t size) {
  return make_device_buffer(type_, at, size);
}

}  // namespace driftwood::cuda
