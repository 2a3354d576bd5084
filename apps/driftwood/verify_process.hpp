// One process of `driftwood verify`: what it is told, and what it reports. One thread.
//
// The process thaws a snapshot, sends messages, and writes hashes of what the actor is after each into a report. It may
// then save the actor, and end by a kill: nothing of it is left but the store.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "console.hpp"
#include "core/error.hpp"
#include "snapshot_host.hpp"

namespace driftwood::cli {

struct VerifyPlan {
  std::filesystem::path store;  ///< that has the snapshot
  SnapshotId snapshot;
  std::vector<std::string> messages;  ///< bytes
  ThawOptions thaw;
  std::filesystem::path folder;   ///< for the report and what belongs to it; there is nothing in it yet
  std::filesystem::path save_to;  ///< a store; empty: nothing is saved, and the process ends by itself
};

/// Runs a process to its end. Its report: {"steps": [{"reply", "memory", "globals", "clock", "contexts", "pages"}],
/// "saved", "numerics_difference"}; or its error.
Result<Json> run_verify_process(const VerifyPlan& plan);

}  // namespace driftwood::cli
