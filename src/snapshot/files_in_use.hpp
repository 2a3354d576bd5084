// Which files the chunks of listed snapshots lie in, as the snapshots' own files say: nothing else decides what may be
// removed. Internal to src/snapshot.
#pragma once

#include <algorithm>
#include <vector>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "snapshot/store_folder.hpp"

namespace driftwood {

class FilesInUse {
 public:
  /// By every listed snapshot but `leaving`. Reads a header and a layout of each. Needs the exclusive lock, and tells
  /// the truth for as long as that is held.
  static Result<FilesInUse> read(const StoreFolder& folder, const Hash* leaving = nullptr);

  /// The file with this header's hash is needed, or may be: a snapshot of a later version, or one that the system does
  /// not let us read, does not say which files it needs.
  bool contains(const Hash& header) const { return some_unknown_ || std::ranges::binary_search(headers_, header); }

 private:
  std::vector<Hash> headers_;  ///< in order
  bool some_unknown_ = false;
};

}  // namespace driftwood
