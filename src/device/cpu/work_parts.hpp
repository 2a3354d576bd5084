// How the threads of one operator share tasks whose data lie one after another.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "device/cpu/operator_threads.hpp"

namespace driftwood::cpu {

/// Gives each thread a part of the tasks, through which it walks in order: what a core fetches ahead of a walk is then
/// what it reads next. Two cores that take turns at pieces of 24 KB read at half the speed. Who has no part left takes
/// tasks from the ends of others'. Idle between runs of its operator.
class WorkParts {
 public:
  /// `crew` as in OperatorThreads.
  explicit WorkParts(Crew* crew = nullptr) noexcept : threads_(crew) {}

  /// Called once by each of the operator's `n_threads` threads. Calls `work(task)` once for each task below `n_tasks`,
  /// on several threads at once; the last of `n_threads` to return sees all that was written.
  template <typename Work>
  void share(std::uint32_t n_threads, std::uint32_t n_tasks, const Work& work) {
    const std::uint32_t n_parts = std::min({threads_.most(n_threads), n_tasks, kMostParts});
    threads_.share(n_threads, [&] { take(n_tasks, n_parts, work); }, [this, n_parts] { reset(n_parts); });
  }

 private:
  static constexpr std::uint32_t kMostParts = 32;

  // What was taken of a part: tasks from its front (the lower half), from its end, and whether somebody walks through
  // it.
  static constexpr std::uint64_t kFront = 1;
  static constexpr std::uint64_t kEnd = std::uint64_t{1} << 32;
  static constexpr std::uint64_t kWalked = std::uint64_t{1} << 63;

  struct alignas(64) Part {
    std::atomic<std::uint64_t> taken{0};
  };
  struct Range {
    std::uint32_t begin;
    std::uint32_t end;
  };

  static Range range_of(std::uint32_t part, std::uint32_t n_tasks, std::uint32_t n_parts) noexcept {
    const auto at = [&](std::uint64_t i) { return static_cast<std::uint32_t>(i * n_tasks / n_parts); };
    return {at(part), at(part + 1)};
  }

  /// Takes one task from a part's front or end, `step`; false when it has none left. `before` is what was taken.
  bool take_one(std::uint32_t part, Range range, std::uint64_t step, std::uint64_t& before) noexcept {
    std::atomic<std::uint64_t>& taken = parts_[part].taken;
    before = taken.load(std::memory_order_relaxed);
    do {
      if (front(before) + end(before) >= range.end - range.begin) return false;
    } while (!taken.compare_exchange_weak(before, before + step, std::memory_order_relaxed));
    return true;
  }
  static std::uint32_t front(std::uint64_t taken) noexcept { return static_cast<std::uint32_t>(taken); }
  static std::uint32_t end(std::uint64_t taken) noexcept {
    return static_cast<std::uint32_t>((taken & ~kWalked) / kEnd);
  }

  template <typename Work>
  void take(std::uint32_t n_tasks, std::uint32_t n_parts, const Work& work) {
    if (n_parts == 0) return;
    const std::uint32_t first = arrived_.fetch_add(1, std::memory_order_relaxed);
    std::uint64_t taken = 0;
    // Of those that are late, or never come, the parts are walked through by others.
    for (std::uint32_t i = 0; i < n_parts; ++i) {
      const std::uint32_t part = (first + i) % n_parts;
      if ((parts_[part].taken.fetch_or(kWalked, std::memory_order_relaxed) & kWalked) != 0) continue;
      const Range range = range_of(part, n_tasks, n_parts);
      while (take_one(part, range, kFront, taken)) work(range.begin + front(taken));
    }
    for (std::uint32_t i = 0; i < n_parts; ++i) {
      const std::uint32_t part = (first + i) % n_parts;
      const Range range = range_of(part, n_tasks, n_parts);
      while (take_one(part, range, kEnd, taken)) work(range.end - 1 - end(taken));
    }
  }

  void reset(std::uint32_t n_parts) noexcept {
    for (std::uint32_t i = 0; i < n_parts; ++i) parts_[i].taken.store(0, std::memory_order_relaxed);
    arrived_.store(0, std::memory_order_relaxed);
  }

  OperatorThreads threads_;
  std::array<Part, kMostParts> parts_;
  std::atomic<std::uint32_t> arrived_{0};
};

}  // namespace driftwood::cpu
