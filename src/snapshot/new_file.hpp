// A file that gets its name when it is whole.
//
// For what is written where a user asked for it. Where the file system has files without a name, whoever is killed on
// the way leaves nothing. Move-only; one thread at a time.
#pragma once

#include <filesystem>
#include <utility>

#include "core/error.hpp"
#include "snapshot/file.hpp"

namespace driftwood {

class NewFile {
 public:
  /// Readable and writable by whom the umask allows. invalid_argument: something has that name; not_found: its folder
  /// is missing; unavailable: the system refused.
  static Result<NewFile> create(const std::filesystem::path& path);
  /// The same where the file system has no files without a name: it is written under another one beside `path`, and
  /// removed with the object.
  static Result<NewFile> create_beside(const std::filesystem::path& path);
  NewFile(NewFile&& other) noexcept
      : file_(std::move(other.file_)), beside_(std::exchange(other.beside_, std::filesystem::path())) {}
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  /// Its errors name the file that was asked for.
  File& file() noexcept { return file_; }
  /// Brings it to the disk and gives it its name. invalid_argument: something else has that by now; unavailable: the
  /// system refused, at last perhaps to bring the name to the disk.
  Result<void> publish();

 private:
  NewFile(File file, std::filesystem::path beside) : file_(std::move(file)), beside_(std::move(beside)) {}
  Result<void> give_name();
  void remove_beside();

  File file_;
  std::filesystem::path beside_;  ///< empty: it has no name
};

}  // namespace driftwood
