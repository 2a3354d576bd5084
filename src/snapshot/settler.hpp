// What happens to a snapshot after it is listed, on a thread of its own: it is added to the index and brought to the
// disk. Neither is waited for by a save. Any thread may call. Internal to src/snapshot.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "core/error.hpp"
#include "snapshot/front.hpp"
#include "snapshot/store_folder.hpp"
#include "snapshot/store_index.hpp"

namespace driftwood {

class Settler {
 public:
  /// Both must outlive it.
  Settler(const StoreFolder& folder, StoreIndex& index) : folder_(folder), index_(index) {}
  /// Does first what was asked for.
  ~Settler();
  Settler(const Settler&) = delete;
  Settler& operator=(const Settler&) = delete;

  void ask_for(std::shared_ptr<const Front> listed);
  /// Returns when everything that was asked for is on the disk, with the first error since the last wait.
  Result<void> wait();

 private:
  using Fronts = std::vector<std::shared_ptr<const Front>>;
  void work();
  void settle(const Fronts& fronts);

  const StoreFolder& folder_;
  StoreIndex& index_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Fronts asked_;
  bool busy_ = false;
  int waiting_ = 0;  ///< calls of wait()
  bool ending_ = false;
  std::optional<Error> error_;
  std::thread thread_;
};

}  // namespace driftwood
