#include "model/mapped_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace driftwood {
namespace {

std::int64_t nanoseconds(const timespec& time) noexcept {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

MappedFile::Stamp stamp_of(const struct stat& status) noexcept {
#ifdef __APPLE__
  return {status.st_ino, nanoseconds(status.st_mtimespec), nanoseconds(status.st_ctimespec)};
#else
  return {status.st_ino, nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
#endif
}

std::unexpected<Error> open_error(const std::filesystem::path& path, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    return fail(ErrorCode::not_found, fmt::format("There is no file {}.", path.string()));
  }
  return fail(ErrorCode::invalid_argument,
              fmt::format("The file {} cannot be read: {}.", path.string(), std::strerror(error)));
}

}  // namespace

Result<std::unique_ptr<MappedFile>> MappedFile::open(const std::filesystem::path& path) {
  // Without O_NONBLOCK a named pipe would wait here for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return open_error(path, errno);

  struct stat status{};
  if (::fstat(fd, &status) != 0) {
    const int error = errno;
    ::close(fd);
    return open_error(path, error);
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(fd);
    return fail(ErrorCode::invalid_argument, fmt::format("{} is not a regular file.", path.string()));
  }
  if (status.st_size == 0) {
    ::close(fd);
    return fail(ErrorCode::corrupt, fmt::format("The file {} is empty.", path.string()));
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) {
    const int error = errno;
    ::close(fd);
    return fail(ErrorCode::out_of_memory,
                fmt::format("The file {} ({} bytes) cannot be mapped: {}.", path.string(), size, std::strerror(error)));
  }
  return std::unique_ptr<MappedFile>(new MappedFile(fd, static_cast<const std::byte*>(data), size, stamp_of(status)));
}

MappedFile::~MappedFile() {
  ::munmap(const_cast<std::byte*>(data_), size_);
  ::close(fd_);
}

void MappedFile::read_ahead() const noexcept {
  // Advice only: where the system refuses it, the pages are read when they are touched.
  (void)::madvise(const_cast<std::byte*>(data_), size_, MADV_WILLNEED);
}

}  // namespace driftwood
