// How many actors the system's limit of mappings is enough for. Any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "console.hpp"

namespace driftwood::cli {

struct MappingLimit {
  std::uint64_t mappings = 0;  ///< that a process may have
  std::uint64_t actors = 0;    ///< forks or thawed ones, in as many pieces as one has unless they are large
  bool small = false;          ///< less than Linux has when it is not told otherwise
};

/// What a limit of so many mappings means.
MappingLimit mapping_limit(std::uint64_t mappings) noexcept;
/// What a person reads: "mappings: ...", with a warning and what to do where the limit is small.
std::string to_text(const MappingLimit& limit);
/// Null where the system has no limit.
Json to_json(const std::optional<MappingLimit>& limit);

}  // namespace driftwood::cli
