#include "device/cuda/staging.hpp"

#include <algorithm>
#include <cstring>

#include "core/bytes.hpp"
#include "device/cuda/status.hpp"

namespace driftwood::cuda {
namespace {

constexpr std::size_t kBlock = 128 * kKiB;  // that a thread takes at once
constexpr std::size_t kAlone = 512 * kKiB;  // less is copied by the caller
constexpr unsigned kMostHelpers = 7;

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
  const unsigned n = std::min(kMostHelpers, std::max(1U, std::thread::hardware_concurrency()) - 1);
  for (unsigned i = 0; i < n; ++i) {
    staging->helpers_.emplace_back([self = staging.get()](const std::stop_token& stop) { self->work(stop); });
  }
  return staging;
}

Staging::~Staging() {
  helpers_.clear();
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
  if (size <= kAlone || helpers_.empty()) {
    std::memcpy(to, from, size);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    to_ = to;
    from_ = from;
    size_ = size;
    next_block_.store(0, std::memory_order_relaxed);
    ++job_;
  }
  wake_.notify_all();
  const auto take_blocks = [&] {
    for (std::size_t at = next_block_.fetch_add(kBlock); at < size; at = next_block_.fetch_add(kBlock)) {
      std::memcpy(to + at, from + at, std::min(kBlock, size - at));
    }
  };
  take_blocks();
  // A helper that has begun is waited for; one that has not finds nothing left.
  std::unique_lock lock(mutex_);
  size_ = 0;
  idle_.wait(lock, [&] { return working_ == 0; });
}

void Staging::work(const std::stop_token& stop) {
  std::uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [&] { return job_ != seen; })) {
    seen = job_;
    if (size_ == 0) continue;
    std::byte* const to = to_;
    const std::byte* const from = from_;
    const std::size_t size = size_;
    ++working_;
    lock.unlock();
    for (std::size_t at = next_block_.fetch_add(kBlock); at < size; at = next_block_.fetch_add(kBlock)) {
      std::memcpy(to + at, from + at, std::min(kBlock, size - at));
    }
    lock.lock();
    if (--working_ == 0) idle_.notify_one();
  }
}

}  // namespace driftwood::cuda
