// The files of a store: their names, what state each is in, and how it changes.
//
//   snapshots/ROOT       listed, and on the disk
//   fresh/BOOT-ROOT      listed, whole, perhaps not on the disk yet; BOOT tells one start of the machine from another
//   kept/HEADER          removed, but other snapshots' chunks lie in it
//   writing/...          not whole; waste unless somebody writes it
//   labels/LABEL         a link that names a ROOT (labels.hpp)
//   index.db             a copy of what the files say (store_index.hpp)
//   lock                 held shared to read and to add, exclusively to take away
//   publishing           a lock: of those that add, one at a time gives a file its name
//
// A file never changes once it is listed; it only moves between folders, by rename. So a process that dies at any point
// leaves the old state or the new. Files may become durable after they are listed: only when the machine stops can a
// fresh file be lost, and then it is known by its BOOT, and checked before it is believed.
// Any thread, any number of processes. Internal to src/snapshot.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "snapshot/file.hpp"
#include "snapshot/front.hpp"
#include "snapshot/store_steps.hpp"

namespace driftwood {

/// Held while the object lives. Released by the system when the process ends.
class FolderLock {
 public:
  explicit FolderLock(File file) : file_(std::move(file)) {}

 private:
  File file_;
};

class StoreFolder {
 public:
  struct Listed {
    Hash root;
    std::uint64_t inode = 0;  ///< another file of the same root has another
  };
  struct Unproven {
    std::filesystem::path path;
    Hash root;
    bool this_boot = false;
  };

  /// Makes the folder (mode 0700) and those in it where they are missing.
  static Result<StoreFolder> open(const std::filesystem::path& path, StoreStep step);

  Result<FolderLock> lock_shared() const;
  Result<FolderLock> lock_exclusive() const;

  /// Listed snapshots, by root.
  Result<std::vector<Listed>> list() const;
  Result<std::vector<Unproven>> list_fresh() const;
  /// Header hashes of the files in kept/.
  Result<std::vector<Hash>> list_kept() const;

  bool has(const Hash& root) const;
  /// A listed snapshot's file. not_found: there is none.
  Result<File> open_snapshot(const Hash& root) const;
  /// The file that a layout refers to, listed or kept, with its header. not_found: there is none.
  Result<std::pair<File, Header>> open_referenced(const FileReference& reference) const;

  /// A new file in writing/.
  Result<File> create_unfinished() const;
  /// Lists a whole file from writing/. False where a snapshot of this root is listed by now: others may have chunks in
  /// its file, so that stays, and `file` where it is.
  Result<bool> publish(const File& file, const Hash& root) const;
  /// Returns when listed snapshots, and every file that they refer to, are on the disk. Many at once cost little more
  /// than one.
  Result<void> make_durable(std::span<const Hash> roots) const;
  /// Takes a snapshot from the list: keeps its file as `kept_as` where that is given, else removes it.
  Result<void> unlist(const Hash& root, const Hash* kept_as) const;
  Result<void> remove_kept(const Hash& header) const;
  Result<void> remove_file(const std::filesystem::path& path) const;
  /// Removes what is in writing/, and counts it. Needs the exclusive lock, so that nobody writes there.
  Result<void> remove_unfinished(std::uint64_t& files, std::uint64_t& bytes) const;
  /// Lists a fresh file of an earlier boot that was found whole, once it is on the disk.
  Result<void> adopt(const Unproven& file) const;

  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path kept_path(const Hash& header) const { return path_ / "kept" / header.to_hex(); }
  Result<void> step(std::string_view name) const { return step_ ? step_(name) : Result<void>{}; }

 private:
  StoreFolder(std::filesystem::path path, StoreStep step, std::string boot)
      : path_(std::move(path)), step_(std::move(step)), boot_(std::move(boot)) {}
  std::filesystem::path listed_path(const Hash& root) const { return path_ / "snapshots" / root.to_hex(); }
  std::filesystem::path fresh_path(const Hash& root) const { return path_ / "fresh" / (boot_ + "-" + root.to_hex()); }
  Result<FolderLock> lock(const char* name, int operation) const;
  /// Appends a snapshot's file if it is fresh, after those that it refers to.
  Result<void> collect_fresh(const Hash& root, std::vector<std::pair<Hash, File>>& files) const;

  std::filesystem::path path_;
  StoreStep step_;
  std::string boot_;  ///< empty where the system does not tell: nothing is listed before it is durable then
};

}  // namespace driftwood
