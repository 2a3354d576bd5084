// Snapshots kept in a folder, by their content.
//
// A file holds what its parent's file does not; removing a snapshot leaves what others need.
// Whatever ends a process, at any point, leaves each snapshot whole or absent.
//
// A Store is a handle: copies are cheap and stand for the same open store, which is closed with the
// last of them. Any thread may call; several processes may share a folder. Errors beside those
// named: unavailable when the system refuses (a full disk, missing rights), with what it said; the
// store is then as it was before the call.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <driftwood/error.hpp>
#include <driftwood/export.hpp>
#include <driftwood/snapshot.hpp>

namespace driftwood::DRIFTWOOD_V1 {

struct StoreOptions {
  std::filesystem::path folder;            ///< made where it is missing; empty: Store::default_folder()
  std::optional<std::uint64_t> max_bytes;  ///< of all files; a save that would exceed it is refused
  bool sync_each_save = false;             ///< save() returns only when the snapshot is on the disk
};

/// What a list of snapshots shows of each.
struct SnapshotInfo {
  SnapshotId id;
  std::vector<std::string> labels;
  std::optional<SnapshotId> parent;  ///< need not be in the store
  std::chrono::system_clock::time_point created;
  Hash program;
  std::string program_name;
  std::string actor;
  std::uint64_t own_bytes = 0;     ///< that its file takes on the disk
  std::uint64_t memory_bytes = 0;  ///< of linear memory
  std::string damage;              ///< why its file cannot be used, as a sentence; empty where it can
};

struct ExportOptions {
  std::optional<int> compression;                    ///< a level of zstd, 1 to 19
  std::optional<std::filesystem::path> signing_key;  ///< PEM file of an Ed25519 private key, which signs the id
};

struct ImportOptions {
  std::vector<std::filesystem::path> trusted;  ///< PEM files of public keys, one of which must have signed; empty: any
  std::string label;                           ///< to give it; empty: its own
};

class DRIFTWOOD_API Store {
 public:
  /// $XDG_DATA_HOME/driftwood/snapshots, or the same below ~/.local/share. not_found: there is no HOME either.
  static Result<std::filesystem::path> default_folder();
  static Result<Store> open(const StoreOptions& options = {});

  /// Saves a snapshot, and gives it `label` (else its own, if any), which another one loses if it has it. A label is 1
  /// to 64 letters, digits, '.', '_', '-', not beginning with a sign. invalid_argument: it is not; unavailable: also
  /// when max_bytes would be exceeded.
  Result<SnapshotId> save(const Snapshot& snapshot, std::string_view label = {});
  /// Maps the snapshot; nothing of its memory is read. not_found; corrupt, incompatible: its file is damaged or
  /// another's.
  Result<Snapshot> load(const SnapshotId& id);
  /// The snapshot of this label, this id, or alone an id that begins so (4 digits or more), loaded. As load() fails;
  /// invalid_argument: several begin so.
  Result<Snapshot> load(std::string_view name);
  /// The id of what load(name) loads.
  Result<SnapshotId> resolve(std::string_view name) const;
  /// The newest first.
  Result<std::vector<SnapshotInfo>> list();
  /// The snapshot, its parent, and so on, as far as they are here.
  Result<std::vector<SnapshotInfo>> lineage(const SnapshotId& id);
  /// Reads all of its memory and compares it with the hashes. corrupt: what differs.
  Result<void> check(const SnapshotId& id);
  /// Takes a snapshot and its labels from the store. not_found.
  Result<void> remove(const SnapshotId& id);
  /// Returns when everything that was saved is on the disk.
  Result<void> sync();

  /// Writes all of a snapshot, checked, to one file for another machine. invalid_argument: the path is taken.
  Result<void> export_to(const SnapshotId& id, const std::filesystem::path& path, const ExportOptions& options = {});
  /// Takes in such a file, every hash of which is checked first. corrupt, incompatible: it is damaged, no snapshot or
  /// of another version; invalid_argument: not signed by one who is trusted. The store is then as it was.
  Result<SnapshotId> import_from(const std::filesystem::path& path, const ImportOptions& options = {});

 private:
  struct State;
  explicit Store(std::shared_ptr<State> state) noexcept;
  std::shared_ptr<State> state_;
};

}  // namespace driftwood::DRIFTWOOD_V1
