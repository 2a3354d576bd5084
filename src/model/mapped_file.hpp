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
  /// not_found: no such file; invalid_argument: not a regular file, or not readable; corrupt: empty.
  static Result<std::unique_ptr<MappedFile>> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  /// The file itself, open for reading as long as this object lives.
  int fd() const noexcept { return fd_; }
  /// Last modification when it was opened, in nanoseconds since 1970.
  std::int64_t modified_ns() const noexcept { return modified_ns_; }
  /// Asks the system to read all of it ahead, in the background.
  void read_ahead() const noexcept;

 private:
  MappedFile(int fd, const std::byte* data, std::size_t size, std::int64_t modified_ns)
      : fd_(fd), data_(data), size_(size), modified_ns_(modified_ns) {}

  int fd_;
  const std::byte* data_;
  std::size_t size_;
  std::int64_t modified_ns_;
};

}  // namespace driftwood
