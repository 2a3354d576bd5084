// A file on disk, read and written at offsets, with errors as sentences that name it.
//
// Move-only; closed with the object. One thread at a time for writing; reading may be shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "core/error.hpp"

namespace driftwood {

class File {
 public:
  /// Opens a regular file for reading. not_found: there is none; invalid_argument: it is something else;
  /// unavailable: the system refused.
  static Result<File> open(const std::filesystem::path& path);
  /// Makes a new file for writing, mode 0600. unavailable: it exists, or the system refused.
  static Result<File> create(const std::filesystem::path& path);
  /// Takes over a descriptor that was opened for `path`.
  static File adopt(int fd, std::filesystem::path path) { return File(fd, std::move(path)); }
  File() = default;
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(path_, other.path_);
    return *this;
  }
  ~File();

  const std::filesystem::path& path() const noexcept { return path_; }
  int fd() const noexcept { return fd_; }
  Result<std::uint64_t> size() const;

  /// Fills `out`. corrupt: the file ends before.
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> out) const;
  /// Writes all pieces one after the other, from `offset` on. unavailable: the system refused (a full disk, a limit).
  Result<void> write_at(std::uint64_t offset, std::span<const std::span<const std::byte>> pieces);
  Result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
    return write_at(offset, {&bytes, 1});
  }
  /// Sets the size; what was not written reads as zero.
  Result<void> resize(std::uint64_t size);
  /// From here on nobody may write it; who may read it stays.
  Result<void> make_read_only();
  /// Returns when all files of its file system are on the disk; false where the system cannot do that.
  Result<bool> sync_file_system() const;
  /// Has the system begin to write the bytes to the disk, where it can be told to.
  void begin_sync() const noexcept;
  /// Returns when the bytes are on the disk.
  Result<void> sync() const;

 private:
  File(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}
  int fd_ = -1;
  std::filesystem::path path_;
};

/// Returns when the names in a folder are on the disk.
Result<void> sync_folder(const std::filesystem::path& folder);
/// A name that no other file has, and no other process gives one: for what is being written.
std::string unused_name();
/// Gives a file another name at once, in place of what had it.
Result<void> rename_file(const std::filesystem::path& from, const std::filesystem::path& to);

/// errno, taken before a message about it is made: `return LastError().because("The file x cannot be read");`
class LastError {
 public:
  LastError();
  /// "`what`: No space left on device." unavailable, or not_found for ENOENT.
  std::unexpected<Error> because(const std::string& what) const;

 private:
  int number_;
};

}  // namespace driftwood
