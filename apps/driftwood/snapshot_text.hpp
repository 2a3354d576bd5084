// How snapshots look in lists and reports. Any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "console.hpp"
#include "snapshot/snapshot_info.hpp"

namespace driftwood::cli {

/// "2026-03-01 09:30:00", by this machine's clock; `ns` since 1970.
std::string local_time(std::int64_t ns);
/// Labels with commas between them; "-" for none.
std::string joined(const std::vector<std::string>& labels);
Json snapshot_json(const SnapshotInfo& info);

}  // namespace driftwood::cli
