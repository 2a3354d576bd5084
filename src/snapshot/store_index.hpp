// A table of what the files of a store say of themselves, so that listing them opens none.
//
// It is only a copy: before it is believed it is compared with the folder, and what it lacks is read from the files. A
// damaged or lost index is made anew, and no file is removed for what it says. So no save waits for it to reach the
// disk. Any thread; any number of processes, each with an object of its own. Internal to src/snapshot.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "snapshot/database.hpp"
#include "snapshot/front.hpp"
#include "snapshot/snapshot_info.hpp"
#include "snapshot/store_folder.hpp"

namespace driftwood {

class StoreIndex {
 public:
  explicit StoreIndex(const StoreFolder& folder) : folder_(folder), path_(folder.path() / "index.db") {}

  /// Adds snapshots that were just listed. What fails here is found by the next comparison.
  void add(std::span<const std::shared_ptr<const Front>> fronts);
  /// Each of these compares the index with the folder first.
  /// Forgets a snapshot that is about to be removed: its inode may soon be that of another file of the same root.
  Result<void> forget(const SnapshotId& id);
  /// All listed snapshots, the newest first, without their labels.
  Result<std::vector<SnapshotInfo>> all();
  /// not_found: it is not listed.
  Result<SnapshotInfo> find(const SnapshotId& id);
  /// Bytes on the disk of all listed snapshots.
  Result<std::uint64_t> total_bytes();

 private:
  /// Runs `work` over a database that is as the folder is; makes the index anew when it is damaged.
  template <typename Work>
  auto with_current(Work work) -> decltype(work(std::declval<Database&>()));
  Result<Database*> open();
  Result<void> reconcile(Database& database);
  Result<void> insert(Database& database, const StoreFolder::Listed& listed);
  void discard();

  const StoreFolder& folder_;
  const std::filesystem::path path_;
  std::mutex mutex_;
  std::optional<Database> database_;
};

}  // namespace driftwood
