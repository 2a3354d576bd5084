// Threads for what may take long: made when there is work, up to a limit, and used again.
//
// Jobs begin in the order in which they were given. As many run at once as there are
// cores; when none has begun for a moment although some wait, those that run are
// taken to be blocked, and more are let in: so jobs may wait for each other, up to the
// limit, and many short ones do not make a crowd of threads that fight for a lock.
// Threads that had nothing to do for a while end. Any thread may call, but stop() must
// not be called by a job.
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
    std::size_t limit = 1;                   ///< jobs that run at the same time, at least 1
    std::size_t stack_bytes = 0;             ///< of each thread, a multiple of the page size
    std::chrono::milliseconds linger{1000};  ///< how long a thread without work is kept
    std::chrono::milliseconds patience{2};   ///< how long jobs wait for those that run before more are let in
  };

  /// Does one piece of work; true: it wants to go on, after the jobs that wait. Must not throw.
  using Job = std::function<bool()>;

  explicit Workers(const Options& options);
  ~Workers() { stop(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// unavailable: there is no thread, and the system gives none; the job is not kept then.
  Result<void> run(Job job);
  /// Waits for all jobs to end; none may be given afterwards, but by those that are still there.
  void stop() noexcept;
  /// Threads that there are now: those that run a job, and those that wait for one.
  std::size_t threads() const;

 private:
  using Clock = std::chrono::steady_clock;
  using Threads = std::list<Thread>;

  // All of these need mutex_.

  /// Sees to it that a thread waits for the next job, unless `limit` run. There are never more threads than that.
  Result<void> stand_by();
  /// Waits for a job that may begin; false when the thread shall end.
  bool await_job(std::unique_lock<std::mutex>& lock);
  bool blocked() const { return Clock::now() - last_begin_ >= options_.patience; }

  void work(Threads::iterator self);

  const Options options_;
  const std::size_t cores_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  Threads threads_;
  Threads ended_;                 ///< to be joined; they no longer use anything here
  std::size_t running_ = 0;       ///< jobs
  std::size_t let_in_;            ///< jobs that may run
  Clock::time_point last_begin_;  ///< of a job
  bool stopping_ = false;
};

}  // namespace driftwood
