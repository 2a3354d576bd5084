// Where this user's caches lie.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace driftwood {

/// $DRIFTWOOD_CACHE/`name`, else $XDG_CACHE_HOME/driftwood/`name`, else ~/.cache/driftwood/`name`, made or not; what is
/// not an absolute path is passed over, and without any of them there is none. Reads the environment: no other thread
/// may change that.
std::optional<std::filesystem::path> cache_folder(std::string_view name);

}  // namespace driftwood
