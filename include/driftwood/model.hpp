// Models that actors may be granted. A Runtime knows them by name and loads each when it is
// first used; all actors share its weights. Values; any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <driftwood/export.hpp>

namespace driftwood::DRIFTWOOD_V1 {

/// A model as the Runtime has it now.
struct ModelInfo {
  std::string name;
  std::filesystem::path path;
  bool loaded = false;      ///< its weights are mapped
  std::uint64_t bytes = 0;  ///< of its weights while it is loaded
};

}  // namespace driftwood::DRIFTWOOD_V1
