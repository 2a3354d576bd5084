// Snapshots kept in a folder, by their content: save, load, list, label, remove.
//
//   auto store = Store::open({.folder = *Store::default_folder()});
//   auto id = (*store)->save(snapshot, "before-lunch");
//   auto again = (*store)->load(*id);
//
// A snapshot's id is its root hash. A file holds the chunks that its parent's file has not; removing a snapshot leaves
// the chunks that others need. The files are the truth, an index beside them makes listing quick (store_folder.hpp,
// store_index.hpp). Whatever ends a process, at any point, leaves each snapshot whole or absent; when the machine
// itself stops, saves of its last moments may be absent: sync() returns when they no longer can be.
//
// Any thread may call; several processes may share a folder. Errors beside those named: unavailable when the system
// refuses (a full disk, missing rights), with what it said; the store is then as it was before the call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "snapshot/snapshot.hpp"
#include "snapshot/snapshot_info.hpp"
#include "snapshot/store_steps.hpp"

namespace driftwood {

struct Front;

struct StoreOptions {
  std::filesystem::path folder;            ///< made where it is missing; others cannot read it
  std::optional<std::uint64_t> max_bytes;  ///< of all files; a save that would exceed it is refused
  bool sync_each_save = false;             ///< save() returns only when the snapshot is on the disk
  StoreStep on_step;                       ///< for tests
};

class Store {
 public:
  /// $XDG_DATA_HOME/driftwood/snapshots, or the same below ~/.local/share. not_found: there is no HOME either.
  static Result<std::filesystem::path> default_folder();

  /// Looks through what an earlier start of the machine left unfinished, if there is any.
  static Result<std::unique_ptr<Store>> open(StoreOptions options);
  /// Waits for the saves to reach the disk.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Saves a snapshot, and gives it `label` (else its manifest's, if any), which another snapshot loses if it has it.
  /// Of memory that lies where it lay in the snapshot `manifest.parent`, when that was saved or loaded by this object,
  /// nothing is read; of chunks that the parent has, nothing is written. A snapshot that is there already is left as it
  /// is. invalid_argument: a manifest, memory size (a multiple of 64 KiB, at most 4 GiB) or label that cannot be.
  /// unavailable: also when max_bytes would be exceeded.
  Result<SnapshotId> save(const Snapshot& snapshot, std::string_view label = {});

  /// The snapshot, with its memory mapped as it lies in the files: nothing of it is checked here, and nothing read, but
  /// where it lies in too many pieces (Image::in_few_extents). All who load one get the same Image while anybody has
  /// it. not_found; corrupt or incompatible: its file is damaged or another's.
  Result<Snapshot> load(const SnapshotId& id);
  /// Reads all of a snapshot's memory and compares it with the hashes. corrupt: the first chunk that differs.
  Result<void> check(const SnapshotId& id);

  /// The snapshot that has this label, this id, or alone an id that begins so (4 digits or more).
  /// not_found; invalid_argument: several begin so, or it is neither.
  Result<SnapshotId> resolve(std::string_view name) const;
  /// The newest first.
  Result<std::vector<SnapshotInfo>> list();
  Result<SnapshotInfo> info(const SnapshotId& id);
  /// The snapshot, its parent, and so on, as far as they are in the store.
  Result<std::vector<SnapshotInfo>> lineage(const SnapshotId& id);

  /// Takes a snapshot and its labels from the store. Its file stays hidden for as long as other snapshots have chunks
  /// in it. not_found.
  Result<void> remove(const SnapshotId& id) { return remove({&id, 1}); }
  /// The same one after another, for little more than one takes: all other snapshots' files are looked at once. Where
  /// one fails, those before it are gone.
  Result<void> remove(std::span<const SnapshotId> ids);
  /// not_found: there is no such snapshot or label.
  Result<void> set_label(std::string_view label, const SnapshotId& id);
  Result<void> remove_label(std::string_view label);

  struct Collected {
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;
  };
  /// Removes files that nobody needs: what is left of writes that were cut off, and of removed snapshots. Waits until
  /// no save is under way, in any process.
  Result<Collected> collect();
  /// Bytes on the disk of all files.
  Result<std::uint64_t> total_bytes();

  /// Returns when everything that was saved is on the disk. unavailable: the disk refused something.
  Result<void> sync();

  /// Fills 64 KiB with the chunk of memory asked for, from where it is not to be trusted.
  using ReadChunk = std::function<Result<void>(std::uint32_t chunk, std::span<std::byte> out)>;
  /// Saves a snapshot whose front was read elsewhere, if each chunk that `read` gives has the hash that the front says;
  /// `read` is called by several threads. The manifest's label is not given. corrupt: a chunk has another hash, and
  /// nothing is saved. Internal to src/snapshot.
  Result<SnapshotId> save_checked(const Front& front, const ReadChunk& read, std::string_view label);
  /// A snapshot's front and memory. Internal to src/snapshot.
  Result<std::pair<std::shared_ptr<const Front>, std::shared_ptr<const Image>>> load_front(const SnapshotId& id);

 private:
  struct State;
  class Save;
  explicit Store(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood
