#include "llm/executor/executor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

namespace driftwood {

namespace {

// Of what the last pass took: how long its requests' actors are waited for.
constexpr int kGatherFraction = 4;

std::uint64_t microseconds(std::chrono::steady_clock::duration duration) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
}

double microseconds_between(std::chrono::steady_clock::time_point begin, std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double, std::micro>(end - begin).count();
}

}  // namespace

/// A request in the executor. Kept for the next one when it leaves: whoever wakes its thread may touch it late.
struct Executor::Ticket {
  enum Signal : std::uint32_t { wait, ended, lead };

  std::optional<ForwardJob> job;
  const Import* memory = nullptr;
  Clock::time_point entered;
  std::atomic<std::uint32_t> signal{wait};

  void tell(Signal what) noexcept {
    signal.store(what, std::memory_order_release);
    signal.notify_one();
  }
};

Executor::Executor(Passes& passes, const ExecutorOptions& options)
    : passes_(passes), options_(options), former_(options.batch) {}

Executor::~Executor() = default;

Result<void> Executor::run(const ForwardRequest& request) {
  std::unique_lock lock(mutex_);
  DW_TRY_ASSIGN(Ticket* const ticket, enter(request));
  bool leads = !led_;
  if (!leads) {
    lock.unlock();
    ticket->signal.wait(Ticket::wait, std::memory_order_acquire);
    leads = ticket->signal.load(std::memory_order_acquire) == Ticket::lead;
    lock.lock();
  }
  if (leads) lead(*ticket, lock);
  Result<void> result = ticket->job->result();
  leave(*ticket);
  return result;
}

Result<Executor::Ticket*> Executor::enter(const ForwardRequest& request) {
  const std::size_t there = waiting_.size() + active_.size();
  if (there >= options_.max_waiting) {
    ++statistics_.refused;
    return fail(ErrorCode::unavailable, fmt::format("{} forward passes wait for this model, and no more than {} may.",
                                                    there, options_.max_waiting));
  }
  if (free_.empty()) {
    tickets_.push_back(std::make_unique<Ticket>());
    free_.push_back(tickets_.back().get());
  }
  Ticket* ticket = free_.back();
  free_.pop_back();
  ticket->job.emplace(request);
  ticket->memory = request.memory;
  ticket->entered = Clock::now();
  ticket->signal.store(Ticket::wait, std::memory_order_relaxed);
  waiting_.push_back(ticket);
  came_.store(true, std::memory_order_relaxed);
  if (std::erase(expected_, request.memory) != 0 && expected_.empty()) arrived_.notify_one();
  return ticket;
}

void Executor::leave(Ticket& ticket) {
  ++statistics_.requests;
  if (!ticket.job->result() && ticket.job->result().error().code == ErrorCode::cancelled) ++statistics_.cancelled;
  ticket.job.reset();
  free_.push_back(&ticket);
}

void Executor::lead(Ticket& own, std::unique_lock<std::mutex>& lock) noexcept {
  led_ = true;
  for (;;) {
    // Who led before may have left a piece.
    if (!piece_) {
      gather(lock);
      admit(lock);
      run_pass(lock);
      if (wake_ended(own, lock)) return;
    }
    if (piece_) {
      run_piece(lock);
      if (wake_ended(own, lock)) return;
    }
  }
}

bool Executor::wake_ended(const Ticket& own, std::unique_lock<std::mutex>& lock) {
  const std::vector<Ticket*> others = collect_ended(own);
  const bool done = own.job->ended();
  Ticket* const next = done ? heir() : nullptr;
  if (done && next == nullptr) led_ = false;
  if (others.empty() && !done) return false;
  lock.unlock();
  for (Ticket* ticket : others) ticket->tell(Ticket::ended);
  // From here on, another thread may lead.
  if (next != nullptr) next->tell(Ticket::lead);
  lock.lock();
  return done;
}

Executor::Ticket* Executor::heir() const {
  // Whose piece is next has the most to do: it leads for long.
  const auto same = [this](const Ticket* ticket) { return piece_ && &*ticket->job == piece_->job; };
  if (const auto found = std::ranges::find_if(active_, same); found != active_.end()) return *found;
  if (!active_.empty()) return active_.front();
  return waiting_.empty() ? nullptr : waiting_.front();
}

void Executor::gather(std::unique_lock<std::mutex>& lock) {
  arrived_.wait_until(lock, last_end_ + last_took_ / kGatherFraction, [this] { return expected_.empty(); });
  expected_.clear();
}

bool Executor::in_use(const Import* memory) const {
  return std::ranges::find(active_, memory, &Ticket::memory) != active_.end();
}

void Executor::admit(std::unique_lock<std::mutex>& lock) {
  const std::size_t before = active_.size();
  came_.store(false, std::memory_order_relaxed);
  for (std::size_t i = 0; i < waiting_.size();) {
    // A Context is one request's at a time: its header says where the next one begins.
    if (waiting_[i]->memory != nullptr && in_use(waiting_[i]->memory)) {
      ++i;
      continue;
    }
    active_.push_back(waiting_[i]);
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  jobs_.clear();
  lock.unlock();
  // Nobody but the leader changes active_.
  const auto now = Clock::now();
  std::uint64_t waited = 0;
  std::uint64_t most_waited = 0;
  for (std::size_t i = 0; i < active_.size(); ++i) {
    ForwardJob& job = *active_[i]->job;
    if (job.cancelled()) {
      if (job.piece() != 0) passes_.give_up(job);
      job.fail_cancelled();
    } else if (i >= before) {
      if (auto started = passes_.start(job); !started) job.fail(std::move(started).error());
      waited += microseconds(now - active_[i]->entered);
      most_waited = std::max(most_waited, microseconds(now - active_[i]->entered));
    }
    if (!job.ended()) jobs_.push_back(&job);
  }
  lock.lock();
  statistics_.waited_us += waited;
  statistics_.most_waited_us = std::max(statistics_.most_waited_us, most_waited);
}

void Executor::run_pass(std::unique_lock<std::mutex>& lock) {
  if (jobs_.empty()) return;
  lock.unlock();
  const auto begin = Clock::now();
  const auto slices = former_.next(jobs_, begin);
  std::uint64_t n_tokens = 0;
  for (const PassSlice& slice : slices) n_tokens += slice.n_tokens;
  if (!slices.empty()) passes_.run(slices);
  const auto end = Clock::now();
  if (!slices.empty()) former_.note(microseconds_between(begin, end));
  piece_ = former_.piece();
  // Several layers beside a pass are no longer than they may be, and those who decode are always back before they end.
  if (piece_ && (slices.empty() || piece_->n_layers == 1)) piece_->yield = &came_;
  lock.lock();
  last_took_ = Clock::duration::zero();
  if (slices.empty()) return;
  last_end_ = end;
  last_took_ = end - begin;
  ++statistics_.passes;
  statistics_.tokens += n_tokens;
  ++statistics_.by_sequences[ExecutorStatistics::bucket(slices.size())];
  statistics_.passes_ns += static_cast<std::uint64_t>(std::chrono::nanoseconds(end - begin).count());
}

void Executor::run_piece(std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  const ForwardJob& job = *piece_->job;
  const std::uint32_t done = job.done();
  const auto begin = Clock::now();
  passes_.run(*piece_);
  const auto end = Clock::now();
  former_.note_piece(microseconds_between(begin, end));
  const std::uint32_t n_tokens = job.done() - done;
  lock.lock();
  piece_.reset();
  last_end_ = end;
  last_took_ += end - begin;
  statistics_.passes_ns += static_cast<std::uint64_t>(std::chrono::nanoseconds(end - begin).count());
  if (n_tokens == 0) return;
  ++statistics_.passes;
  statistics_.tokens += n_tokens;
  ++statistics_.by_sequences[ExecutorStatistics::bucket(1)];
}

std::vector<Executor::Ticket*> Executor::collect_ended(const Ticket& own) {
  std::vector<Ticket*> others;
  std::erase_if(active_, [&](Ticket* ticket) {
    if (!ticket->job->ended()) return false;
    if (ticket != &own) others.push_back(ticket);
    if (ticket->job->result()) expected_.push_back(ticket->memory);
    return true;
  });
  return others;
}

ExecutorStatistics Executor::statistics() const {
  const std::lock_guard lock(mutex_);
  ExecutorStatistics statistics = statistics_;
  statistics.waiting = waiting_.size() + active_.size();
  return statistics;
}

}  // namespace driftwood
