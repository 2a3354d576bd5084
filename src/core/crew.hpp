// Some threads that help one with work in many equal pieces, and sleep in between.
//
// One thread at a time may call run().
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace driftwood {

class Crew {
 public:
  /// Fewer, where the machine has not as many cores beside the caller's.
  explicit Crew(unsigned most_helpers);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// Calls `work` once for each of 0 .. n - 1, on this thread and the helpers; returns when all are done. `work` may
  /// not throw.
  void run(std::size_t n, const std::function<void(std::size_t)>& work);

 private:
  void help();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  const std::function<void(std::size_t)>* work_ = nullptr;  ///< null: none, or all taken
  std::size_t count_ = 0;
  std::uint64_t job_ = 0;
  int working_ = 0;  ///< helpers
  std::atomic<std::size_t> next_{0};
  bool ended_ = false;
  std::vector<std::thread> helpers_;
};

}  // namespace driftwood
