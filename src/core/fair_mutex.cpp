#include "core/fair_mutex.hpp"

#include <algorithm>

namespace driftwood {

void FairMutex::lock() {
  std::unique_lock lock(mutex_);
  const std::uint64_t ticket = next_++;
  turn_.wait(lock, [&] { return serving_ == ticket; });
}

bool FairMutex::try_lock() {
  const std::lock_guard lock(mutex_);
  if (next_ != serving_) return false;
  ++next_;
  return true;
}

void FairMutex::unlock() {
  {
    const std::lock_guard lock(mutex_);
    ++serving_;
  }
  turn_.notify_all();
}

std::uint64_t FairMutex::waiting() const {
  const std::lock_guard lock(mutex_);
  return next_ - std::min(next_, serving_ + 1);
}

}  // namespace driftwood
