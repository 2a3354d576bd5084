// A folder of files that only this user can have written: what caches take compiled code and packed weights from.
//
// Any thread, and processes at the same time: a file is there whole, or is not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>

#include "core/error.hpp"

namespace driftwood {

/// A file descriptor, closed when it goes; below 0: none.
class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

class PrivateFolder {
 public:
  /// Makes the folder where it is missing, for this user alone. `what` begins the sentences of errors: "The module
  /// cache". unavailable: it cannot be made, is something else, or others may write to it.
  static Result<PrivateFolder> open(const std::filesystem::path& folder, std::string_view what);

  std::filesystem::path path_of(std::string_view name) const { return folder_ / name; }

  struct File {
    Descriptor descriptor;
    std::uint64_t size;  ///< bytes
  };
  /// Opens a file for reading; its descriptor is none where there is no such file, or not one that only this user can
  /// have written.
  File find(const std::filesystem::path& file) const;

  /// Writes `parts`, one after another, under another name, which then becomes `file`. One that is there already is
  /// replaced, unless `keeps` is given and then says that it is as good. `what` begins the sentence of an error, which
  /// leaves nothing behind. What processes that were killed here have left goes. unavailable: the system refused.
  Result<void> store(const std::filesystem::path& file, std::initializer_list<std::span<const std::byte>> parts,
                     std::string_view what, const std::function<bool()>& keeps = nullptr) const;

  /// Removes the files whose names `is_old` accepts; who has mapped one keeps what it maps.
  void remove_files(const std::function<bool(std::string_view name)>& is_old) const;

 private:
  explicit PrivateFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::filesystem::path folder_;
};

}  // namespace driftwood
