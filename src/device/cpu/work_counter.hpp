// How the threads of one operator share its tasks.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/crew.hpp"

namespace driftwood::cpu {

/// Hands out task numbers; idle between runs of its operator. An operator is run by all threads of ggml's pool, or,
/// where its graph is too small for that, by one thread that asks the device's crew for help.
class WorkCounter {
 public:
  /// `crew` null: nobody helps. Borrowed.
  explicit WorkCounter(Crew* crew = nullptr) noexcept : crew_(crew) {}

  /// Called once by each of the operator's `n_threads` threads. `work` takes tasks until none is left, and may run on
  /// several threads at once; the last of `n_threads` to return sees all that was written.
  template <typename Work>
  void share(std::uint32_t n_threads, const Work& work) {
    if (n_threads != 1) {
      work();
      if (finished_.fetch_add(1, std::memory_order_acq_rel) + 1 != n_threads) return;
    } else if (crew_ != nullptr) {
      crew_->together(work);
    } else {
      work();
    }
    next_.store(0, std::memory_order_relaxed);
    finished_.store(0, std::memory_order_relaxed);
  }

  /// The next task's number, which may be beyond the last one.
  std::uint32_t take() noexcept { return next_.fetch_add(1, std::memory_order_relaxed); }

 private:
  Crew* crew_;
  std::atomic<std::uint32_t> next_{0};
  std::atomic<std::uint32_t> finished_{0};
};

}  // namespace driftwood::cpu
