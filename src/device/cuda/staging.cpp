#include "device/cuda/staging.hpp"

#include <algorithm>
#include <cstring>

#include "core/bytes.hpp"
#include "device/cuda/status.hpp"

namespace driftwood::cuda {
namespace {

constexpr std::size_t kBlock = 128 * kKiB;  // that a thread takes at once
constexpr std::size_t kAlone = 512 * kKiB;  // less is copied by the caller

}  // namespace

Result<std::unique_ptr<Staging>> Staging::create() {
  std::unique_ptr<Staging> staging(new Staging());
  DW_TRY(check(cudaStreamCreateWithFlags(&staging->stream_, cudaStreamNonBlocking), "making a stream"));
  for (Slot& slot : staging->slots_) {
    void* bytes = nullptr;
    DW_TRY(check(cudaHostAlloc(&bytes, kSlotBytes, cudaHostAllocDefault), "pinning memory for copies"));
    slot.bytes = static_cast<std::byte*>(bytes);
    DW_TRY(check(cudaEventCreateWithFlags(&slot.done, cudaEventDisableTiming), "making an event"));
  }
  return staging;
}

Staging::~Staging() {
  for (Slot& slot : slots_) {
    if (slot.done != nullptr) cudaEventDestroy(slot.done);
    if (slot.bytes != nullptr) cudaFreeHost(slot.bytes);
  }
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

Result<void> Staging::to_device(std::byte* to, const std::byte* host, std::size_t size) {
  for (std::size_t done = 0; done < size; done += kSlotBytes) {
    const std::size_t piece = std::min(kSlotBytes, size - done);
    Slot& slot = slots_[next_++ % kSlots];
    DW_TRY(check(cudaEventSynchronize(slot.done), "copying to the device"));
    copy_in_parallel(slot.bytes, host + done, piece);
    DW_TRY(
        check(cudaMemcpyAsync(to + done, slot.bytes, piece, cudaMemcpyHostToDevice, stream_), "copying to the device"));
    DW_TRY(check(cudaEventRecord(slot.done, stream_), "copying to the device"));
  }
  return {};
}

Result<void> Staging::to_host(std::byte* host, const std::byte* from, std::size_t size) {
  DW_TRY(finish());
  std::size_t asked = 0;
  std::array<std::size_t, kSlots> at{};
  for (std::size_t done = 0; done < size;) {
    // As many pieces as there are slots are on their way.
    while (asked < size && asked - done < kSlots * kSlotBytes) {
      const std::size_t index = asked / kSlotBytes % kSlots;
      const std::size_t piece = std::min(kSlotBytes, size - asked);
      at[index] = piece;
      DW_TRY(check(cudaMemcpyAsync(slots_[index].bytes, from + asked, piece, cudaMemcpyDeviceToHost, stream_),
                   "copying to the host"));
      DW_TRY(check(cudaEventRecord(slots_[index].done, stream_), "copying to the host"));
      asked += piece;
    }
    const std::size_t index = done / kSlotBytes % kSlots;
    DW_TRY(check(cudaEventSynchronize(slots_[index].done), "copying to the host"));
    copy_in_parallel(host + done, slots_[index].bytes, at[index]);
    done += at[index];
  }
  return {};
}

Result<void> Staging::finish() { return check(cudaStreamSynchronize(stream_), "copying"); }

void Staging::copy_in_parallel(std::byte* to, const std::byte* from, std::size_t size) {
  if (size <= kAlone) {
    std::memcpy(to, from, size);
    return;
  }
  crew_.run((size + kBlock - 1) / kBlock, [&](std::size_t block) {
    const std::size_t at = block * kBlock;
    std::memcpy(to + at, from + at, std::min(kBlock, size - at));
  });
}

}  // namespace driftwood::cuda
