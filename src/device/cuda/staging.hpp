// Copies between pageable host memory and the device through pinned memory: some threads
// move pieces in or out of it while the device moves the others over the bus.
//
// What a copy reads of the host may change when it returns; what it writes to the host
// is there. What it writes to the device is there after finish(). One thread at a time.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/error.hpp"

namespace driftwood::cuda {

class Staging {
 public:
  static Result<std::unique_ptr<Staging>> create();
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  Result<void> to_device(std::byte* to, const std::byte* host, std::size_t size);
  Result<void> to_host(std::byte* host, const std::byte* from, std::size_t size);
  Result<void> finish();
  cudaStream_t stream() const noexcept { return stream_; }

 private:
  static constexpr std::size_t kSlots = 4;
  static constexpr std::size_t kSlotBytes = std::size_t{4} << 20;

  struct Slot {
    std::byte* bytes = nullptr;
    cudaEvent_t done = nullptr;  ///< of its last copy over the bus
  };

  Staging() = default;
  void copy_in_parallel(std::byte* to, const std::byte* from, std::size_t size);
  void work(const std::stop_token& stop);

  cudaStream_t stream_ = nullptr;
  std::array<Slot, kSlots> slots_;
  std::size_t next_ = 0;

  // The copy that the helpers share, by blocks.
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::condition_variable idle_;
  std::byte* to_ = nullptr;
  const std::byte* from_ = nullptr;
  std::size_t size_ = 0;
  std::uint64_t job_ = 0;
  int working_ = 0;
  std::atomic<std::size_t> next_block_{0};
  std::vector<std::jthread> helpers_;
};

}  // namespace driftwood::cuda
