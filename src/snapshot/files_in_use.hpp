// Which files the chunks of listed snapshots lie in, as the snapshots' own files say: nothing else decides what may be
// removed. Internal to src/snapshot.
#pragma once

#include <map>
#include <vector>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "snapshot/store_folder.hpp"

namespace driftwood {

class FilesInUse {
 public:
  /// By every listed snapshot. Reads a header and a layout of each. Needs the exclusive lock, and tells the truth for
  /// as long as that is held.
  static Result<FilesInUse> read(const StoreFolder& folder);

  /// A snapshot that left the list needs no file any more.
  void leave(const Hash& root);

  /// The file with this header's hash is needed, or may be: a snapshot of a later version, or one that the system does
  /// not let us read, does not say which files it needs.
  bool contains(const Hash& header) const { return unknown_ != 0 || users_.contains(header); }

 private:
  struct Snapshot {
    std::vector<Hash> headers;  ///< of the files that it needs
    bool unknown = false;       ///< it may need others
  };

  std::map<Hash, Snapshot> snapshots_;  ///< by root
  std::map<Hash, std::size_t> users_;   ///< how many snapshots need a file, by its header; none has 0
  std::size_t unknown_ = 0;             ///< snapshots that may need any
};

}  // namespace driftwood
