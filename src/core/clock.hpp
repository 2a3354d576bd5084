// Monotonic time for measuring.
#pragma once

#include <chrono>
#include <cstdint>

namespace driftwood {

/// Nanoseconds of the monotonic clock, from an arbitrary origin.
inline std::int64_t monotonic_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Measures from its construction.
class Stopwatch {
 public:
  std::int64_t elapsed_ns() const noexcept { return monotonic_ns() - start_ns_; }
  double elapsed_us() const noexcept { return static_cast<double>(elapsed_ns()) / 1e3; }
  double elapsed_s() const noexcept { return static_cast<double>(elapsed_ns()) / 1e9; }

 private:
  std::int64_t start_ns_ = monotonic_ns();
};

}  // namespace driftwood
