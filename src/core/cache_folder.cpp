#include "core/cache_folder.hpp"

#include <cstdlib>

namespace driftwood {

std::optional<std::filesystem::path> cache_folder(std::string_view name) {
  const auto variable = [](const char* key) {
    const char* value = std::getenv(key);
    return std::filesystem::path(value != nullptr ? value : "");
  };
  if (const auto own = variable("DRIFTWOOD_CACHE"); own.is_absolute()) return own / name;
  if (const auto cache = variable("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "driftwood" / name;
  if (const auto home = variable("HOME"); home.is_absolute()) return home / ".cache" / "driftwood" / name;
  return std::nullopt;
}

}  // namespace driftwood
