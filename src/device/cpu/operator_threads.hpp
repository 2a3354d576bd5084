// The threads that run one operator.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "core/crew.hpp"

namespace driftwood::cpu {

/// An operator is run by all threads of ggml's pool, or, where its graph is too small for that, by one thread that asks
/// the device's crew for help.
class OperatorThreads {
 public:
  /// `crew` null: nobody helps. Borrowed.
  explicit OperatorThreads(Crew* crew = nullptr) noexcept : crew_(crew) {}

  /// How many may run an operator that was called on `n_threads`.
  std::uint32_t most(std::uint32_t n_threads) const noexcept {
    return std::max(n_threads, crew_ == nullptr ? 1U : crew_->size());
  }

  /// Called once by each of the operator's `n_threads` threads. `work` may run on several threads at once. The last of
  /// `n_threads` to come sees all that was written, and calls `end`.
  template <typename Work, typename End>
  void share(std::uint32_t n_threads, const Work& work, const End& end) {
    if (n_threads != 1) {
      work();
      if (finished_.fetch_add(1, std::memory_order_acq_rel) + 1 != n_threads) return;
      finished_.store(0, std::memory_order_relaxed);
    } else if (crew_ != nullptr) {
      crew_->together(work);
    } else {
      work();
    }
    end();
  }

 private:
  Crew* crew_;
  std::atomic<std::uint32_t> finished_{0};
};

}  // namespace driftwood::cpu
