#include "paths.hpp"

#include <climits>
#include <cstdlib>
#include <string>

#if defined(__APPLE__)
#include <mach-o/dyld.h>
#endif

namespace driftwood::cli {
namespace {

/// An environment variable that names a folder; the XDG rules ignore relative ones.
std::filesystem::path folder_variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return {};
  std::filesystem::path path(value);
  return path.is_absolute() ? path : std::filesystem::path();
}

Result<std::filesystem::path> xdg_folder(const char* variable, const char* below_home) {
  if (auto folder = folder_variable(variable); !folder.empty()) return folder / "driftwood";
  if (auto home = folder_variable("HOME"); !home.empty()) return home / below_home / "driftwood";
  return fail(ErrorCode::unavailable, "Neither " + std::string(variable) +
                                          " nor HOME is set to an absolute path, so there is no place for "
                                          "Driftwood's own files.");
}

}  // namespace

Result<std::filesystem::path> model_store_path() {
  if (const char* given = std::getenv("DRIFTWOOD_MODELS"); given != nullptr && *given != '\0') {
    std::error_code error;
    const auto absolute = std::filesystem::absolute(given, error);
    return error ? std::filesystem::path(given) : absolute;
  }
  DW_TRY_ASSIGN(const auto folder, xdg_folder("XDG_DATA_HOME", ".local/share"));
  return folder / "models";
}

Result<std::filesystem::path> program_store_path() {
  DW_TRY_ASSIGN(const auto folder, xdg_folder("XDG_DATA_HOME", ".local/share"));
  return folder / "programs";
}

Result<std::filesystem::path> state_path() { return xdg_folder("XDG_STATE_HOME", ".local/state"); }

Result<std::filesystem::path> executable_path() {
  std::error_code error;
#if defined(__APPLE__)
  char buffer[PATH_MAX];
  std::uint32_t size = sizeof(buffer);
  if (_NSGetExecutablePath(buffer, &size) != 0) {
    return fail(ErrorCode::internal, "The path of this program is longer than " + std::to_string(PATH_MAX) + " bytes.");
  }
  auto path = std::filesystem::canonical(buffer, error);
#else
  auto path = std::filesystem::read_symlink("/proc/self/exe", error);
#endif
  if (error) return fail(ErrorCode::unavailable, "The path of this program cannot be found: " + error.message() + ".");
  return path;
}

}  // namespace driftwood::cli
