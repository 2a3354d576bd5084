// Where the chunks of a snapshot lie: in its own file, or in those of older snapshots.
//
// A file's data is a row of slots of one chunk each. A run says that neighbouring chunks
// of memory lie in neighbouring slots of one file, so that one mapping does for all:
//
//   memory   | chunks 0..36: file 1, slots 4..40 | zeros | chunks 90..99: own file, slots 0..9 |
//
// Always: runs are in order and do not overlap; every chunk that is not zero lies in one (a zero chunk may, too); the
// file's own slots are used once each, in order. Internal to src/snapshot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/hash.hpp"
#include "snapshot/chunk_index.hpp"

namespace driftwood {

/// Names one file for good: two files of the same snapshot may lay out its chunks differently.
struct FileReference {
  Hash root;    ///< of the snapshot that it holds
  Hash header;  ///< the hash of the file's header, which covers the places of its chunks
  friend bool operator==(const FileReference&, const FileReference&) = default;
};

inline constexpr std::uint32_t kOwnFile = 0;

struct ChunkRun {
  std::uint32_t chunk = 0;  ///< first of memory
  std::uint32_t count = 0;
  std::uint32_t file = kOwnFile;  ///< kOwnFile, or 1 + the place in ChunkLayout::files
  std::uint32_t slot = 0;         ///< first in the file
  friend bool operator==(const ChunkRun&, const ChunkRun&) = default;
};

struct ChunkLayout {
  /// What a file may have at most; a writer stays well below (chunk_plan.hpp).
  static constexpr std::size_t kMaxFiles = 64;
  static constexpr std::size_t kMaxRuns = 1024;

  std::vector<FileReference> files;
  std::vector<ChunkRun> runs;

  /// Slots of the file's own.
  std::uint32_t own_slots() const noexcept {
    std::uint32_t slots = 0;
    for (const ChunkRun& run : runs) slots += run.file == kOwnFile ? run.count : 0;
    return slots;
  }
  friend bool operator==(const ChunkLayout&, const ChunkLayout&) = default;
};

/// corrupt: the layout is not what the top of this file says, for this index and a file with so many slots.
Result<void> check_layout(const ChunkLayout& layout, const ChunkIndex& index, std::uint64_t slots_in_file);

}  // namespace driftwood
