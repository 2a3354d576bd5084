// A file that gets its name when it is whole.
//
// For what is written where a user asked for it: whoever is killed on the way leaves nothing there. Move-only; one
// thread at a time.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <utility>

#include "core/error.hpp"
#include "snapshot/file.hpp"

namespace driftwood {

class NewFile {
 public:
  /// `mode` as open()'s. invalid_argument: something has that name; not_found: its folder is missing;
  /// unavailable: the system refused.
  static Result<NewFile> create(const std::filesystem::path& path, mode_t mode);
  /// The same where the file system has no files without a name: it is written under another one beside `path`, and
  /// removed with the object.
  static Result<NewFile> create_beside(const std::filesystem::path& path, mode_t mode);
  NewFile(NewFile&& other) noexcept
      : file_(std::move(other.file_)), beside_(std::exchange(other.beside_, std::filesystem::path())) {}
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  /// Its errors name the file that was asked for.
  File& file() noexcept { return file_; }
  /// Gives it its name, durably if its bytes are. invalid_argument: something else has it by now.
  Result<void> publish();

 private:
  NewFile(File file, std::filesystem::path beside) : file_(std::move(file)), beside_(std::move(beside)) {}
  void remove_beside();

  File file_;
  std::filesystem::path beside_;  ///< empty: it has no name
};

}  // namespace driftwood
