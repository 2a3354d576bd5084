// Batches the forward passes of many threads, without a thread of its own.
//
// A thread that brings a request and finds nobody at work leads: it forms a batch of
// all requests that wait, runs the pass, wakes those that are done, and goes on until
// its own request is done; then it hands the lead to one that still waits. So a thread
// that is alone runs its passes itself, with no switch to another.
// Those whose requests ended with the last pass are likely to be back at once: the
// leader waits for them for a fraction of what that pass took, so that threads in lock
// step really share their passes. They are woken before a piece of a prompt is run.
// A piece makes way within a layer, too, when another request comes.
//
// Any thread may call. The Passes must outlive it, and so it must its callers.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/error.hpp"
#include "llm/executor/batch_former.hpp"
#include "llm/executor/statistics.hpp"
#include "llm/passes.hpp"

namespace driftwood {

struct ExecutorOptions {
  BatchFormer::Limits batch;
  std::uint32_t max_waiting = 4096;  ///< requests, those in passes included
};

class Executor {
 public:
  Executor(Passes& passes, const ExecutorOptions& options);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Runs a request to its end, in passes with those of other threads. unavailable: max_waiting wait; cancelled: its
  /// flag became true, before or between passes; else what its job fails with.
  Result<void> run(const ForwardRequest& request);

  ExecutorStatistics statistics() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Ticket;

  // These need mutex_, which `lock` holds and which some let go in between.

  Result<Ticket*> enter(const ForwardRequest& request);
  void leave(Ticket& ticket);
  void lead(Ticket& own, std::unique_lock<std::mutex>& lock) noexcept;
  void gather(std::unique_lock<std::mutex>& lock);
  void admit(std::unique_lock<std::mutex>& lock);
  void run_pass(std::unique_lock<std::mutex>& lock);
  void run_piece(std::unique_lock<std::mutex>& lock);
  /// Wakes those who have ended; the leader, when its own has, makes another lead. Whether it has.
  bool wake_ended(const Ticket& own, std::unique_lock<std::mutex>& lock);
  /// Takes out the active ones that have ended, and returns those that are not the leader's own.
  std::vector<Ticket*> collect_ended(const Ticket& own);
  Ticket* heir() const;
  bool in_use(const Import* memory) const;

  Passes& passes_;
  const ExecutorOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_;               ///< all of expected_
  std::vector<std::unique_ptr<Ticket>> tickets_;  ///< all that were ever made
  std::vector<Ticket*> free_;
  std::vector<Ticket*> waiting_;         ///< not started
  std::vector<Ticket*> active_;          ///< started; only the leader touches their jobs
  std::vector<const Import*> expected_;  ///< whose requests ended with the last pass and that are not back yet
  bool led_ = false;
  std::atomic<bool> came_{false};  ///< a request since the last ones were admitted; changed with mutex_ held
  Clock::time_point last_end_;     ///< of a pass
  Clock::duration last_took_{0};   ///< that pass and the piece after it
  ExecutorStatistics statistics_;

  // The leader's.
  BatchFormer former_;
  std::vector<ForwardJob*> jobs_;
  std::optional<PassPiece> piece_;  ///< to be run next
};

}  // namespace driftwood
