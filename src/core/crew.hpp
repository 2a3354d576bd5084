// Some threads that help one with work that can be shared, and sleep in between.
//
// One thread at a time may call run() and together(). A helper that comes late finds the work done and is not waited
// for: on a machine whose cores are busy with others' work, the caller goes on alone.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace driftwood {

class Crew {
 public:
  /// Fewer helpers, where the machine has not as many cores beside the caller's. Helpers look for work during
  /// `patience` before they sleep, and the caller as long for their end: on a machine that has cores to spare, waking a
  /// thread costs more than a small piece of work. Where others want the cores, nobody looks for more than
  /// microseconds.
  explicit Crew(unsigned most_helpers, std::chrono::microseconds patience = {});
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// The threads that may take part, the caller's among them.
  unsigned size() const noexcept { return static_cast<unsigned>(helpers_.size()) + 1; }

  /// Calls `work` once for each of 0 .. n - 1, on this thread and the helpers; returns when all are done. `work` may
  /// not throw.
  void run(std::size_t n, const std::function<void(std::size_t)>& work);

  /// Calls `work` on this thread, and on each helper that comes before this call of it has ended, at most once each;
  /// returns when all calls have. What is to be done, they share out themselves. `work` may not throw.
  void together(const std::function<void()>& work);

  /// Helpers that look for work sleep now.
  void rest() noexcept { resting_.store(true, std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;

  void help();
  /// True once `done` is; false when it is time to sleep.
  template <typename Done>
  bool look(const Done& done, bool is_helper);

  const std::chrono::microseconds patience_;
  const std::function<void()>* work_ = nullptr;  ///< while state_ is open
  /// The number of the job, whether it takes helpers, and how many of them are at it.
  std::atomic<std::uint32_t> state_{0};
  std::atomic<std::uint32_t> caller_sleeps_{0};
  std::atomic<bool> resting_{false};
  std::atomic<bool> ended_{false};
  std::atomic<std::int64_t> crowded_until_{0};  ///< nanoseconds of Clock
  std::vector<std::thread> helpers_;
};

}  // namespace driftwood
