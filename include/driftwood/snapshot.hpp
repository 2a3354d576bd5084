// A frozen actor: its memory as it was, and everything else that a thaw needs.
//
// Immutable. A Snapshot is a handle: copies are cheap and share the memory, which stays mapped
// while one of them lives, whatever becomes of the actor, the Runtime or the Store. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <driftwood/export.hpp>
#include <driftwood/hash.hpp>

namespace driftwood::DRIFTWOOD_V1 {

/// A snapshot's root hash: the same for the same memory and manifest, wherever it is kept.
using SnapshotId = Hash;

class DRIFTWOOD_API Snapshot {
 public:
  /// A model that the actor had open.
  struct Model {
    std::string name;  ///< as it was granted
    Hash hash;         ///< of its file
  };

  const std::string& label() const noexcept;  ///< that it was frozen with; may be empty
  const std::string& actor() const noexcept;  ///< the actor's name
  const std::string& program_name() const noexcept;
  const Hash& program_hash() const noexcept;
  const std::vector<Model>& models() const noexcept;
  std::chrono::system_clock::time_point created() const noexcept;
  /// The saved snapshot that the actor went on from.
  std::optional<SnapshotId> parent() const;
  /// Which child of a fork it is, from 1 on; 0: none.
  std::uint32_t fork_index() const noexcept;
  /// Size of the linear memory, touched or not.
  std::uint64_t memory_bytes() const noexcept;

 private:
  struct State;
  friend class Actor;
  friend class Runtime;
  friend class Store;
  friend struct RuntimeState;
  explicit Snapshot(std::shared_ptr<const State> state) noexcept;
  std::shared_ptr<const State> state_;
};

}  // namespace driftwood::DRIFTWOOD_V1
