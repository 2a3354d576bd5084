// How the threads of one operator share its tasks.
#pragma once

#include <atomic>
#include <cstdint>

namespace driftwood::cpu {

/// Hands out task numbers; idle between runs of its operator. Each thread of the operator takes
/// tasks until none is left and calls finish() once.
class WorkCounter {
 public:
  std::uint32_t take() noexcept { return next_.fetch_add(1, std::memory_order_relaxed); }

  /// True for the last of `n_threads` threads, which sees all that the others wrote; the counter starts anew.
  bool finish(std::uint32_t n_threads) noexcept {
    if (finished_.fetch_add(1, std::memory_order_acq_rel) + 1 != n_threads) return false;
    next_.store(0, std::memory_order_relaxed);
    finished_.store(0, std::memory_order_relaxed);
    return true;
  }

 private:
  std::atomic<std::uint32_t> next_{0};
  std::atomic<std::uint32_t> finished_{0};
};

}  // namespace driftwood::cpu
