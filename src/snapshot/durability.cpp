#include "snapshot/durability.hpp"

#include <fmt/format.h>

#include <system_error>
#include <utility>

#include "core/log.hpp"

namespace driftwood {

Durability::~Durability() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Durability::ask_for(const Hash& root) {
  std::unique_lock lock(mutex_);
  asked_.push_back(root);
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { work(); });
    } catch (const std::system_error&) {
      // The system gives no thread: the caller does the work.
      asked_.pop_back();
      lock.unlock();
      settle(root);
      return;
    }
  }
  changed_.notify_all();
}

Result<void> Durability::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return asked_.empty() && !busy_; });
  if (!error_) return {};
  return std::unexpected(*std::exchange(error_, std::nullopt));
}

void Durability::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !asked_.empty() || ending_; });
    if (asked_.empty()) return;
    const Hash root = asked_.front();
    asked_.pop_front();
    busy_ = true;
    lock.unlock();
    settle(root);
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

void Durability::settle(const Hash& root) {
  const auto settled = [&]() -> Result<void> {
    DW_TRY_ASSIGN(const FolderLock lock, folder_.lock_shared());
    return folder_.make_durable(root);
  };
  auto result = settled();
  if (result) return;
  log(LogLevel::error, fmt::format("The snapshot {} is saved, but may be lost when the machine stops: {}",
                                   root.to_hex(), result.error().to_string()));
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(result).error();
}

}  // namespace driftwood
