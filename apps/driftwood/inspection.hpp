// Everything that can be told about one snapshot. One thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "console.hpp"
#include "context_scan.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "memory_map.hpp"
#include "snapshot/manifest.hpp"
#include "snapshot/signature.hpp"
#include "snapshot/snapshot_info.hpp"
#include "snapshot_host.hpp"

namespace driftwood::cli {

struct Inspection {
  SnapshotInfo info;
  Manifest manifest;
  std::optional<PublicKey> signer;    ///< of an exported file
  std::vector<SnapshotInfo> lineage;  ///< its parent, and so on, as far as they are in the store
  Hash memory_hash;                   ///< SHA-256 of the linear memory
  MemoryMap map;
  bool compared = false;  ///< with its parent
  std::vector<FoundContext> contexts;
  std::vector<std::pair<std::string, std::string>> transcript;  ///< who said what, where the actor could tell
  std::vector<std::string> notes;                               ///< sentences about what could not be told

  /// `name`: a snapshot of the store, or an exported file, which is checked. Neither fetches models nor fails where
  /// model or program are missing: notes say so.
  static Result<Inspection> make(const std::string& name, ThawOptions options);

  std::string text() const;
  Json to_json() const;
  std::string drawing() const;
};

}  // namespace driftwood::cli
