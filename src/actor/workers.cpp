#include "actor/workers.hpp"

#include <utility>

namespace driftwood {

Result<void> Workers::run(Job job) {
  Threads ended;
  {
    const std::lock_guard lock(mutex_);
    ended.swap(ended_);
    jobs_.push_back(std::move(job));
    // An idle thread that was told of a job counts as idle until it has taken it: so count the jobs against them.
    if (jobs_.size() > idle_ && threads_.size() < options_.limit) {
      if (auto started = start(); !started && threads_.empty()) {
        jobs_.pop_back();
        return started;
      }
    }
  }
  changed_.notify_one();
  return {};
}

Result<void> Workers::start() {
  const auto self = threads_.emplace(threads_.end());
  auto thread = Thread::start(options_.stack_bytes, [this, self] { work(self); });
  if (!thread) {
    threads_.erase(self);
    return std::unexpected(std::move(thread).error());
  }
  *self = *std::move(thread);
  return {};
}

void Workers::work(Threads::iterator self) {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    const bool found =
        changed_.wait_for(lock, options_.linger, [this] { return !jobs_.empty() || stopping_; }) && !jobs_.empty();
    --idle_;
    if (!found) break;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    const bool again = job();
    if (!again) job = {};  // what it holds is let go under no lock
    lock.lock();
    if (again) jobs_.push_back(std::move(job));
  }
  ended_.splice(ended_.end(), threads_, self);
  changed_.notify_all();
}

void Workers::stop() noexcept {
  Threads ended;
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return threads_.empty(); });
    ended.swap(ended_);
  }
}

std::size_t Workers::threads() const {
  const std::lock_guard lock(mutex_);
  return threads_.size();
}

}  // namespace driftwood
