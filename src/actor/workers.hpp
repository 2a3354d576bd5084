// Threads for what may take long: made when there is work, up to a limit, and used again.
//
// Jobs begin in the order in which they were given. A job that the limit leaves room
// for never waits for another to end, so jobs may wait for each other up to that
// number. Threads that had nothing to do for a while end. Any thread may call, but
// stop() must not be called by a job.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <mutex>

#include "core/error.hpp"
#include "core/thread.hpp"

namespace driftwood {

class Workers {
 public:
  struct Options {
    std::size_t limit = 1;                   ///< threads
    std::size_t stack_bytes = 0;             ///< of each, a multiple of the page size
    std::chrono::milliseconds linger{1000};  ///< how long a thread without work is kept
  };

  /// Does one piece of work; true: it wants to go on, after the jobs that wait. Must not throw.
  using Job = std::function<bool()>;

  explicit Workers(const Options& options) : options_(options) {}
  ~Workers() { stop(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// unavailable: there is no thread, and the system gives none; the job is not kept then.
  Result<void> run(Job job);
  /// Waits for all jobs to end; none may be given afterwards, but by those that are still there.
  void stop() noexcept;
  /// Threads that there are now.
  std::size_t threads() const;

 private:
  using Threads = std::list<Thread>;

  /// Starts a thread. Needs mutex_.
  Result<void> start();
  void work(Threads::iterator self);

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  Threads threads_;
  Threads ended_;         ///< to be joined; no longer use anything here
  std::size_t idle_ = 0;  ///< threads that wait for a job, or were told of one and have not taken it yet
  bool stopping_ = false;
};

}  // namespace driftwood
