// A file's bytes, mapped read-only.
//
// The bytes stay valid as long as this object; any thread may read them. A file
// that somebody shortens while it is mapped takes its pages away (SIGBUS), so
// model files are replaced by renaming, never rewritten in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "core/error.hpp"

namespace driftwood {

class MappedFile {
 public:
  /// Which file it was when it was opened, and of when. Times are in nanoseconds since 1970, as finely as the file
  /// system has them, which may be some milliseconds.
  struct Stamp {
    std::uint64_t inode = 0;
    std::int64_t modified_ns = 0;  ///< the bytes
    std::int64_t changed_ns = 0;   ///< the bytes, or anything about the file
  };

  /// not_found: no such file; invalid_argument: not a regular file, or not readable; corrupt: empty.
  static Result<std::unique_ptr<MappedFile>> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  /// The file itself, open for reading as long as this object lives.
  int fd() const noexcept { return fd_; }
  const Stamp& stamp() const noexcept { return stamp_; }
  /// Asks the system to read all of it ahead, in the background.
  void read_ahead() const noexcept;

 private:
  MappedFile(int fd, const std::byte* data, std::size_t size, const Stamp& stamp)
      : fd_(fd), data_(data), size_(size), stamp_(stamp) {}

  int fd_;
  const std::byte* data_;
  std::size_t size_;
  Stamp stamp_;
};

}  // namespace driftwood
