// Copies between pageable host memory and the device through pinned memory: some threads
// move pieces in or out of it while the device moves the others over the bus.
//
// What a copy reads of the host may change when it returns; what it writes to the host
// is there. What it writes to the device is there after finish(). One thread at a time.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <memory>

#include "core/crew.hpp"
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

  cudaStream_t stream_ = nullptr;
  std::array<Slot, kSlots> slots_;
  std::size_t next_ = 0;

  Crew crew_{7};
};

}  // namespace driftwood::cuda
