// Copies between pageable host memory and the device through pinned memory: some threads
// move pieces in or out of it while the device moves the others over the bus.
//
// What a copy reads of the host may change when it returns; what it writes to the host
// is there. What it writes to the device is there after finish(). One thread at a time.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>

#include "core/crew.hpp"
#include "core/error.hpp"

namespace driftwood::cuda {

class Staging {
 public:
  static Result<std::unique_ptr<Staging>> create(int device);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  Result<void> to_device(std::byte* to, const std::byte* host, std::size_t size);
  Result<void> to_host(std::byte* host, const std::byte* from, std::size_t size);
  Result<void> finish();
  cudaStream_t stream() const noexcept { return stream_; }

 private:
  // A thread works in a lane of its own, which never waits for another's; its slots take turns. A slot is large enough
  // to be worth a call to the driver; all of them together stay in the processor's cache.
  static constexpr std::size_t kLanes = 8;
  static constexpr std::size_t kSlots = 2;
  static constexpr std::size_t kSlotBytes = std::size_t{1} << 20;

  struct Slot {
    std::byte* bytes = nullptr;
    cudaEvent_t done = nullptr;  ///< of its last copy over the bus
  };
  struct Lane {
    std::array<Slot, kSlots> slots;
    std::size_t next = 0;
    Slot& turn() noexcept { return slots[next++ % kSlots]; }
  };
  /// What the lanes of a copy share.
  struct Job {
    std::byte* to;
    const std::byte* from;
    std::size_t size;
    std::atomic<std::size_t> next{0};  ///< byte that nobody has taken
  };

  explicit Staging(int device) : device_(device) {}
  /// Runs `work` with each lane, as many as the size is worth, and gives the first error.
  template <typename Work>
  Result<void> in_lanes(std::size_t size, const Work& work);
  Result<void> send(Job& job, Lane& lane);
  Result<void> fetch(Job& job, Lane& lane);

  int device_;
  cudaStream_t stream_ = nullptr;
  std::array<Lane, kLanes> lanes_;
  Crew crew_{kLanes - 1};
};

}  // namespace driftwood::cuda
