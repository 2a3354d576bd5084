#include "snapshot_text.hpp"

#include <ctime>
#include <nlohmann/json.hpp>

namespace driftwood::cli {

std::string local_time(std::int64_t ns) {
  const auto seconds = static_cast<std::time_t>(ns / 1'000'000'000);
  std::tm parts{};
  if (localtime_r(&seconds, &parts) == nullptr) return "-";
  char text[64];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts));
}

std::string joined(const std::vector<std::string>& labels) {
  std::string text;
  for (const std::string& label : labels) text += (text.empty() ? "" : ", ") + label;
  return text.empty() ? "-" : text;
}

Json snapshot_json(const SnapshotInfo& info) {
  return {{"id", info.id.to_hex()},
          {"labels", info.labels},
          {"parent", info.parent ? Json(info.parent->to_hex()) : Json()},
          {"created_ns", info.created_ns},
          {"program", {{"name", info.program_name}, {"sha256", info.program.to_hex()}}},
          {"actor", info.actor},
          {"fork_index", info.fork_index},
          {"own_bytes", info.own_bytes},
          {"memory_bytes", info.memory_size},
          {"damage", info.damage}};
}

}  // namespace driftwood::cli
