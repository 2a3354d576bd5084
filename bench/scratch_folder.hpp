// A folder for the files of one benchmark, removed at the end.
#pragma once

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "core/error.hpp"

namespace driftwood::bench {

class ScratchFolder {
 public:
  /// In `parent`, which is made if need be; where that is empty, in the system's folder for temporary files.
  /// unavailable: it could not be made.
  static Result<std::unique_ptr<ScratchFolder>> create(std::filesystem::path parent = {}) {
    std::error_code error;
    if (parent.empty()) {
      parent = std::filesystem::temp_directory_path(error);
    } else {
      std::filesystem::create_directories(parent, error);
    }
    std::string pattern = (parent / "driftwood-bench-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      return fail(ErrorCode::unavailable,
                  "The folder \"" + pattern + "\" could not be made: " + std::strerror(errno) + ".");
    }
    return std::unique_ptr<ScratchFolder>(new ScratchFolder(pattern));
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  explicit ScratchFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace driftwood::bench
