// How the threads of one operator share tasks of any kind.
#pragma once

#include <atomic>
#include <cstdint>

#include "device/cpu/operator_threads.hpp"

namespace driftwood::cpu {

/// Hands out task numbers; idle between runs of its operator.
class WorkCounter {
 public:
  /// `crew` as in OperatorThreads.
  explicit WorkCounter(Crew* crew = nullptr) noexcept : threads_(crew) {}

  /// Called once by each of the operator's `n_threads` threads. `work` takes tasks until none is left, and may run on
  /// several threads at once; the last of `n_threads` to return sees all that was written.
  template <typename Work>
  void share(std::uint32_t n_threads, const Work& work) {
    threads_.share(n_threads, work, [this] { next_.store(0, std::memory_order_relaxed); });
  }

  /// The next task's number, which may be beyond the last one.
  std::uint32_t take() noexcept { return next_.fetch_add(1, std::memory_order_relaxed); }

 private:
  OperatorThreads threads_;
  std::atomic<std::uint32_t> next_{0};
};

}  // namespace driftwood::cpu
