#include "core/crew.hpp"

#include <algorithm>

namespace driftwood {

Crew::Crew(unsigned most_helpers) {
  const unsigned n = std::min(most_helpers, std::max(1U, std::thread::hardware_concurrency()) - 1);
  for (unsigned i = 0; i < n; ++i) {
    helpers_.emplace_back([this] { help(); });
  }
}

Crew::~Crew() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void Crew::run(std::size_t n, const std::function<void(std::size_t)>& work) {
  if (helpers_.empty() || n < 2) {
    for (std::size_t i = 0; i < n; ++i) work(i);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    work_ = &work;
    count_ = n;
    next_.store(0, std::memory_order_relaxed);
    ++job_;
  }
  wake_.notify_all();
  for (std::size_t i = next_.fetch_add(1); i < n; i = next_.fetch_add(1)) work(i);
  // A helper that has begun is waited for; one that comes late finds nothing.
  std::unique_lock lock(mutex_);
  work_ = nullptr;
  idle_.wait(lock, [this] { return working_ == 0; });
}

void Crew::help() {
  std::uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return ended_ || job_ != seen; });
    if (ended_) return;
    seen = job_;
    if (work_ == nullptr) continue;
    const auto& work = *work_;
    const std::size_t n = count_;
    ++working_;
    lock.unlock();
    for (std::size_t i = next_.fetch_add(1); i < n; i = next_.fetch_add(1)) work(i);
    lock.lock();
    if (--working_ == 0) idle_.notify_one();
  }
}

}  // namespace driftwood
