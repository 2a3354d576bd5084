// One Context of a saved actor: its KV rows as a safetensors file, and changed by one. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "context_scan.hpp"
#include "core/error.hpp"
#include "llm/kv_tensors.hpp"
#include "memory/region.hpp"
#include "snapshot/store.hpp"
#include "snapshot_host.hpp"

namespace driftwood::cli {

class KvContext {
 public:
  /// A Context of a snapshot, mapped copy-on-write: the only one, or the one of this number (from 1 on, as inspect
  /// lists them). not_found: there is none, or its model is not here; invalid_argument: there are several, or no such
  /// number.
  static Result<KvContext> open(Store& store, const SnapshotId& id, std::optional<std::uint32_t> number,
                                const ThawOptions& options);

  const FoundContext& found() const noexcept { return found_; }

  /// The tokens of its rows, where the actor is a chat actor and says so when it is thawed and asked, in its sandbox;
  /// otherwise why they are not known.
  Result<std::vector<std::int32_t>> ask_tokens(const ThawOptions& options) const;

  /// Writes `path`, which appears whole or not at all; the value is its size. invalid_argument: the path is taken;
  /// not_found: its folder is missing; unavailable: it cannot be written.
  Result<std::uint64_t> write(const std::filesystem::path& path, std::span<const std::int32_t> tokens) const;

  /// Fails as read_kv_tensors does.
  Result<KvChange> change(const std::filesystem::path& path);
  /// Saves the actor with the changed Context, as a child of its snapshot.
  Result<SnapshotId> save(Store& store, std::string_view label);

 private:
  KvContext() = default;
  std::span<std::byte> bytes() const { return memory_->bytes().subspan(found_.offset, found_.bytes); }

  SnapshotId id_;
  Snapshot snapshot_;
  std::unique_ptr<Region> memory_;
  FoundContext found_;
  KvModel model_;
};

}  // namespace driftwood::cli
