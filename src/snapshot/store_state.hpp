// What a Store is made of, for its own sources. Internal to src/snapshot.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "snapshot/files_in_use.hpp"
#include "snapshot/known_snapshots.hpp"
#include "snapshot/labels.hpp"
#include "snapshot/settler.hpp"
#include "snapshot/store.hpp"
#include "snapshot/store_folder.hpp"
#include "snapshot/store_index.hpp"

namespace driftwood {

struct Store::State {
  State(StoreOptions given, StoreFolder opened)
      : options(std::move(given)),
        folder(std::move(opened)),
        labels(folder.path() / "labels", options.on_step),
        index(folder),
        settler(folder, index) {}

  const StoreOptions options;
  const StoreFolder folder;
  const Labels labels;
  StoreIndex index;
  KnownSnapshots known;

  /// Decides about fresh files of earlier starts of the machine, and has those of this one brought to the disk.
  Result<void> settle_fresh();
  /// The slots of a file, as one Layer for all who use it; null when it has none.
  Result<std::shared_ptr<const Layer>> slots_of(const FileReference& reference);
  /// The front of a listed snapshot, from its file.
  Result<Front> front_of(const SnapshotId& id) const;
  /// Compares all chunks of a snapshot with their hashes.
  Result<void> check(const File& file, const Front& front) const;
  /// Takes a snapshot from the list and from `in_use`; its file stays where others need it. Needs the exclusive lock.
  Result<void> unlist(const SnapshotId& id, FilesInUse& in_use);
  /// Removes kept files that no listed snapshot needs any more. Needs the exclusive lock.
  Result<void> collect_kept(const FilesInUse& in_use, Collected& collected);
  /// unavailable: `more` bytes would exceed the limit.
  Result<void> check_room(std::uint64_t more);
  Result<std::uint64_t> total_bytes();

  std::mutex layers_mutex;
  std::map<Hash, std::weak_ptr<const Layer>> layers;  ///< by header hash

  Settler settler;  ///< the last one, so that it ends before what it works on
};

}  // namespace driftwood
