#include "actor/workers.hpp"

#include <algorithm>
#include <thread>
#include <utility>

namespace driftwood {

Workers::Workers(const Options& options)
    : options_(options),
      cores_(std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, options.limit)),
      let_in_(cores_) {}

Result<void> Workers::run(Job job) {
  Threads ended;
  {
    const std::lock_guard lock(mutex_);
    ended.swap(ended_);
    if (jobs_.empty()) last_begin_ = Clock::now();
    jobs_.push_back(std::move(job));
    if (auto standing = stand_by(); !standing && threads_.empty()) {
      jobs_.pop_back();
      return standing;
    }
  }
  changed_.notify_one();
  return {};
}

Result<void> Workers::stand_by() {
  if (threads_.size() > running_ || running_ >= options_.limit) return {};
  const auto self = threads_.emplace(threads_.end());
  auto thread = Thread::start(options_.stack_bytes, [this, self] { work(self); });
  if (!thread) {
    threads_.erase(self);
    return std::unexpected(std::move(thread).error());
  }
  *self = *std::move(thread);
  return {};
}

bool Workers::await_job(std::unique_lock<std::mutex>& lock) {
  const auto until = Clock::now() + options_.linger;
  for (;;) {
    if (jobs_.empty()) {
      if (stopping_ || Clock::now() >= until) return false;
      changed_.wait_until(lock, until);
    } else if (running_ < let_in_) {
      return true;
    } else if (blocked()) {
      let_in_ = std::min(2 * let_in_, options_.limit);
      return true;
    } else {
      changed_.wait_until(lock, last_begin_ + options_.patience);
    }
  }
}

void Workers::work(Threads::iterator self) {
  std::unique_lock lock(mutex_);
  while (await_job(lock)) {
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    ++running_;
    last_begin_ = Clock::now();
    // Others wait: for this job too, if it should block. Where the system gives no thread, they wait longer.
    if (!jobs_.empty()) static_cast<void>(stand_by());
    lock.unlock();
    const bool again = job();
    if (!again) job = {};  // what it holds is let go under no lock
    lock.lock();
    --running_;
    if (again) jobs_.push_back(std::move(job));
    if (jobs_.empty() && running_ < cores_) let_in_ = cores_;
  }
  ended_.splice(ended_.end(), threads_, self);
  changed_.notify_all();
}

void Workers::stop() noexcept {
  Threads ended;
  std::unique_lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return threads_.empty(); });
  ended.swap(ended_);
}

std::size_t Workers::threads() const {
  const std::lock_guard lock(mutex_);
  return threads_.size();
}

}  // namespace driftwood
