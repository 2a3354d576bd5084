#include "device/cpu/host_cores.hpp"

#include <algorithm>
#include <thread>

#if defined(__linux__)
#include <sched.h>

#include <array>
#endif

namespace driftwood {

int host_cores() {
#if defined(__linux__)
  // One cpu_set_t holds 1024 cores, and the call fails on a machine with more than it is given room for.
  std::array<cpu_set_t, 16> cores{};
  if (sched_getaffinity(0, sizeof(cores), cores.data()) == 0) {
    return std::max(1, CPU_COUNT_S(sizeof(cores), cores.data()));
  }
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace driftwood
