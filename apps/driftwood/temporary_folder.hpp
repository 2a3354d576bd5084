// A folder for one command's own files, removed with the object. One thread.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "core/error.hpp"

namespace driftwood::cli {

class TemporaryFolder {
 public:
  /// unavailable: the system's folder for temporary files cannot be written.
  static Result<TemporaryFolder> create();
  TemporaryFolder() = default;
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~TemporaryFolder();

  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  explicit TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace driftwood::cli
