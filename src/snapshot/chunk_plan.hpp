// Decides which chunks a new snapshot file writes, and which it finds in older files.
//
// A chunk that the base has at the same place of memory, with the same hash, stays where it lies. A chain of many small
// files would make a load slow, so chunks are written again (their hashes are known) where that bounds the number of
// files or runs: those of the files that give fewest chunks, and the shortest runs. The smallest files are merged first
// and as several at once, so that over a long chain each byte is written again a few times, not each time.
// Internal to src/snapshot.
#pragma once

#include <cstddef>
#include <functional>

#include "snapshot/chunk_index.hpp"
#include "snapshot/chunk_layout.hpp"

namespace driftwood {

/// A snapshot that is in the store already.
struct PlanBase {
  FileReference file;
  const ChunkIndex& index;
  const ChunkLayout& layout;
};

struct PlanLimits {
  std::size_t most_files = 32;  ///< referred to, before some are merged...
  std::size_t kept_files = 24;  ///< ...so that so many are left
  std::size_t most_runs = 256;
  std::size_t kept_runs = 128;
};

/// Where the chunks of `index` shall lie. Nothing of `base` is used (which may be null) that `usable` denies.
ChunkLayout plan_layout(const ChunkIndex& index, const PlanBase* base,
                        const std::function<bool(const FileReference&)>& usable, const PlanLimits& limits = {});

}  // namespace driftwood
