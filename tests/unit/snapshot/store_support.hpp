// A store in a folder of its own, and snapshots to put into it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "samples.hpp"
#include "snapshot/store.hpp"
#include "support/temporary_folder.hpp"

namespace driftwood::testing {

class TestStore {
 public:
  explicit TestStore(StoreOptions options = {}) : options_(std::move(options)) {
    options_.folder = folder_.path() / "store";
    reopen();
  }

  /// As another process would see it.
  void reopen() {
    store_.reset();
    store_ = value_of(Store::open(options_));
  }
  /// Ends its threads, which a process that forks may not have.
  void close() { store_.reset(); }
  Store& operator*() { return *store_; }
  Store* operator->() { return store_.get(); }
  const std::filesystem::path& path() const { return options_.folder; }
  const std::filesystem::path& outside() const { return folder_.path(); }
  const StoreOptions& options() const { return options_; }

  /// The file of a listed snapshot that is on the disk.
  std::filesystem::path file_of(const SnapshotId& id) {
    value_of(store_->sync());
    return path() / "snapshots" / id.to_hex();
  }
  std::size_t files_in(const char* name) const {
    const std::filesystem::directory_iterator entries(path() / name);
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
  }

 private:
  TemporaryFolder folder_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

/// A snapshot of what `memory` is now.
inline Snapshot snapshot_of(FrozenMemory& memory, std::optional<SnapshotId> parent = {}, std::string actor = "actor") {
  Snapshot snapshot{full_manifest(), memory.freeze()};
  snapshot.manifest.label.clear();
  snapshot.manifest.parent = parent;
  snapshot.manifest.actor = std::move(actor);
  return snapshot;
}

}  // namespace driftwood::testing
