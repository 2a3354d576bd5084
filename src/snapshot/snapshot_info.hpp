// What a list of snapshots shows of each. A value; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/hash.hpp"

namespace driftwood {

/// A snapshot's root hash: the same for the same memory and manifest, wherever and however it is kept.
using SnapshotId = Hash;

struct SnapshotInfo {
  SnapshotId id;
  std::vector<std::string> labels;   ///< in order
  std::optional<SnapshotId> parent;  ///< need not be in the store
  std::int64_t created_ns = 0;       ///< since 1970
  Hash program;
  std::string program_name;
  std::string actor;
  std::uint32_t fork_index = 0;
  std::uint64_t own_bytes = 0;    ///< that its file takes on the disk; chunks of older files are not counted
  std::uint64_t memory_size = 0;  ///< bytes of linear memory
  std::string damage;             ///< why its file cannot be used, as a sentence; empty where it can
};

}  // namespace driftwood
