// A mutex that threads get in the order in which they asked for it.
//
// For sections that take long and are entered again at once: a thread that lets an ordinary mutex go and takes it again
// leaves those that wait for it without a turn. Any thread may call; works with std::lock_guard.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace driftwood {

class FairMutex {
 public:
  void lock();
  /// Takes it where nobody has it.
  bool try_lock();
  void unlock();

  /// Threads that wait for their turn.
  std::uint64_t waiting() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable turn_;
  std::uint64_t next_ = 0;     ///< ticket
  std::uint64_t serving_ = 0;  ///< the ticket that has the lock, or has it next
};

}  // namespace driftwood
