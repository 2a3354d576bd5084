// What computes: the CPU or a GPU, or nothing at all (null, for tests). Values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <driftwood/export.hpp>

namespace driftwood::DRIFTWOOD_V1 {

/// How the device sees an actor's memory.
enum class Sharing {
  same_memory,      ///< it reads and writes the very pages of the host
  mapped_over_bus,  ///< the host's pages, reached over a bus; nothing is copied
  copied,           ///< it works on a copy, which is kept in step
};

/// "same_memory", "mapped_over_bus", "copied".
DRIFTWOOD_API std::string_view to_string(Sharing sharing) noexcept;

struct DeviceInfo {
  std::string name;                ///< as RuntimeOptions::device takes it: "cpu", "null"
  std::string description;         ///< the hardware's or the driver's own name
  std::uint64_t memory_bytes = 0;  ///< 0 where it is not known
  int threads = 0;                 ///< host threads that compute; 0 for a GPU
  Sharing sharing = Sharing::copied;
  bool in_worker = false;  ///< a process of its own computes
};

/// Whether a process of its own computes, beside the program's: what ends that one, a driver's fault or an abort in
/// it, ends no actor; it is started again. It is the program driftwood-device-worker, which is installed with the
/// library.
enum class DeviceWorker {
  automatic,  ///< where it costs little, by the kind of device
  off,
  on,
};

/// Names of this machine's devices, best first. "auto" stands for the first.
DRIFTWOOD_API std::vector<std::string> device_names();

}  // namespace driftwood::DRIFTWOOD_V1
