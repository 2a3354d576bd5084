#include "snapshot/file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <random>
#include <system_error>

namespace driftwood {
namespace {

/// Well below IOV_MAX of every system.
constexpr std::size_t kPiecesAtOnce = 256;

int sync_bytes(int fd) noexcept {
#ifdef __APPLE__
  // fsync leaves the bytes in the drive's own cache there.
  return ::fcntl(fd, F_FULLFSYNC) == 0 ? 0 : ::fsync(fd);
#else
  return ::fdatasync(fd);
#endif
}

}  // namespace

LastError::LastError() : number_(errno) {}

std::unexpected<Error> LastError::because(const std::string& what) const {
  const ErrorCode code = number_ == ENOENT ? ErrorCode::not_found : ErrorCode::unavailable;
  return fail(code, fmt::format("{}: {}.", what, std::generic_category().message(number_)));
}

Result<File> File::open(const std::filesystem::path& path) {
  // Without O_NONBLOCK a named pipe would wait here for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return LastError().because(fmt::format("The file {} cannot be opened", path.string()));
  File file(fd, path);
  struct stat status{};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(ErrorCode::invalid_argument, fmt::format("{} is not a regular file.", path.string()));
  }
  return file;
}

Result<File> File::create(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return LastError().because(fmt::format("The file {} cannot be made", path.string()));
  return File(fd, path);
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

Result<std::uint64_t> File::size() const {
  struct stat status{};
  if (::fstat(fd_, &status) != 0) {
    return LastError().because(fmt::format("The size of {} cannot be asked for", path_.string()));
  }
  return static_cast<std::uint64_t>(status.st_size);
}

Result<void> File::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return LastError().because(fmt::format("The file {} cannot be read", path_.string()));
    if (got == 0) {
      return fail(ErrorCode::corrupt, fmt::format("The file {} ends at byte {}, and {} bytes more are needed.",
                                                  path_.string(), offset, out.size()));
    }
    offset += static_cast<std::uint64_t>(got);
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

Result<void> File::write_at(std::uint64_t offset, std::span<const std::span<const std::byte>> pieces) {
  std::array<iovec, kPiecesAtOnce> vectors;
  std::size_t skip = 0;  // bytes of the first piece that are written
  while (!pieces.empty()) {
    const std::size_t count = std::min(pieces.size(), kPiecesAtOnce);
    for (std::size_t i = 0; i < count; ++i) {
      const auto piece = pieces[i].subspan(i == 0 ? skip : 0);
      vectors[i] = {const_cast<std::byte*>(piece.data()), piece.size()};
    }
    const ssize_t written = ::pwritev(fd_, vectors.data(), static_cast<int>(count), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return LastError().because(fmt::format("The file {} cannot be written", path_.string()));
    offset += static_cast<std::uint64_t>(written);
    skip += static_cast<std::size_t>(written);
    while (!pieces.empty() && skip >= pieces.front().size()) {
      skip -= pieces.front().size();
      pieces = pieces.subspan(1);
    }
  }
  return {};
}

Result<void> File::resize(std::uint64_t size) {
  if (::ftruncate(fd_, static_cast<off_t>(size)) == 0) return {};
  return LastError().because(fmt::format("The file {} cannot have {} bytes", path_.string(), size));
}

Result<void> File::make_read_only() {
  struct stat status{};
  if (::fstat(fd_, &status) == 0 && ::fchmod(fd_, status.st_mode & 0444) == 0) return {};
  return LastError().because(fmt::format("The file {} cannot be made read-only", path_.string()));
}

Result<bool> File::sync_file_system() const {
#ifdef __linux__
  if (::syncfs(fd_) == 0) return true;
  return LastError().because(fmt::format("The file system of {} cannot be brought to the disk", path_.string()));
#else
  return false;
#endif
}

void File::begin_sync() const noexcept {
#ifdef __linux__
  (void)::sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE);
#endif
}

Result<void> File::sync() const {
  if (sync_bytes(fd_) == 0) return {};
  return LastError().because(fmt::format("The file {} cannot be brought to the disk", path_.string()));
}

Result<void> sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return LastError().because(fmt::format("The folder {} cannot be opened", folder.string()));
  const int status = ::fsync(fd);
  const LastError error;
  ::close(fd);
  if (status == 0) return {};
  return error.because(fmt::format("The folder {} cannot be brought to the disk", folder.string()));
}

std::string unused_name() {
  std::random_device random;
  return fmt::format("{}-{:08x}{:08x}", ::getpid(), random(), random());
}

Result<void> rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  return LastError().because(fmt::format("The file {} cannot be renamed to {}", from.string(), to.string()));
}

}  // namespace driftwood
