// Brings fresh snapshots to the disk, one after the other, on a thread of its own. Any thread may call.
// Internal to src/snapshot.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "snapshot/store_folder.hpp"

namespace driftwood {

class Durability {
 public:
  explicit Durability(const StoreFolder& folder) : folder_(folder) {}
  /// Waits for what was asked for.
  ~Durability();
  Durability(const Durability&) = delete;
  Durability& operator=(const Durability&) = delete;

  void ask_for(const Hash& root);
  /// Returns when everything that was asked for is on the disk, with the first error since the last wait.
  Result<void> wait();

 private:
  void work();
  void settle(const Hash& root);

  const StoreFolder& folder_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Hash> asked_;
  bool busy_ = false;
  bool ending_ = false;
  std::optional<Error> error_;
  std::thread thread_;
};

}  // namespace driftwood
