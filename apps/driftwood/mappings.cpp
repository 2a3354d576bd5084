#include "mappings.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "memory/image.hpp"

namespace driftwood::cli {
namespace {

constexpr std::uint64_t kUsual = 65'530;
/// A piece and what lies behind it are a mapping each, and something lies before the first.
constexpr std::uint64_t kPerActor = 2 * kFewExtents + 1;

}  // namespace

MappingLimit mapping_limit(std::uint64_t mappings) noexcept {
  return {mappings, mappings / kPerActor, mappings < kUsual};
}

std::string to_text(const MappingLimit& limit) {
  const std::string text = fmt::format(
      "mappings: {} for a process (vm.max_map_count), enough for about {} forks or thawed actors in {} pieces each",
      limit.mappings, limit.actors, kFewExtents);
  const std::string raise = fmt::format("sysctl -w vm.max_map_count={}", limit.small ? kUsual : 4 * limit.mappings);
  if (limit.small) return fmt::format("warning: {}; that is few, raise it: {}", text, raise);
  return fmt::format("{}; for more: {}", text, raise);
}

Json to_json(const std::optional<MappingLimit>& limit) {
  if (!limit) return nullptr;
  return {{"limit", limit->mappings}, {"actors", limit->actors}, {"small", limit->small}, {"text", to_text(*limit)}};
}

}  // namespace driftwood::cli
