#include "snapshot/settler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

#include "core/log.hpp"

namespace driftwood {
namespace {

/// Leaves the core to whoever saved, and gathers what is saved soon after.
constexpr std::chrono::milliseconds kGather{5};
/// At once: enough that the disk is waited for once for all, few enough that a lock is not held for long.
constexpr std::size_t kBatch = 256;

}  // namespace

Settler::~Settler() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Settler::ask_for(std::shared_ptr<const Front> listed) {
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { work(); });
    } catch (const std::system_error&) {
      // The system gives no thread: the caller does the work.
      lock.unlock();
      settle({std::move(listed)});
      return;
    }
  }
  asked_.push_back(std::move(listed));
  changed_.notify_all();
}

Result<void> Settler::wait() {
  std::unique_lock lock(mutex_);
  ++waiting_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return asked_.empty() && !busy_; });
  --waiting_;
  if (!error_) return {};
  return std::unexpected(*std::exchange(error_, std::nullopt));
}

void Settler::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !asked_.empty() || ending_; });
    if (asked_.empty()) return;
    changed_.wait_for(lock, kGather, [this] { return ending_ || waiting_ != 0 || asked_.size() >= kBatch; });
    const auto end = asked_.begin() + static_cast<std::ptrdiff_t>(std::min(asked_.size(), kBatch));
    const Fronts batch(std::move_iterator(asked_.begin()), std::move_iterator(end));
    asked_.erase(asked_.begin(), end);
    busy_ = true;
    lock.unlock();
    settle(batch);
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

void Settler::settle(const Fronts& fronts) {
  const auto settled = [&]() -> Result<void> {
    DW_TRY(folder_.step("index"));
    index_.add(fronts);
    std::vector<Hash> roots;
    for (const auto& front : fronts) roots.push_back(front->header.root);
    DW_TRY_ASSIGN(const FolderLock lock, folder_.lock_shared());
    return folder_.make_durable(roots);
  };
  auto result = settled();
  if (result) return;
  const std::string others = fronts.size() == 1 ? "" : fmt::format(" and {} more", fronts.size() - 1);
  log(LogLevel::error, fmt::format("The snapshot {}{} may be lost when the machine stops: {}",
                                   fronts.front()->header.root.to_hex(), others, result.error().to_string()));
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(result).error();
}

}  // namespace driftwood
