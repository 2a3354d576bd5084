// Linux: memory files are memfds, which can be mapped shared and private alike.
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "memory/system_memory.hpp"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace driftwood::system_memory {

Result<void> map_private(std::byte* at, std::size_t size, int fd, std::size_t file_offset) {
  void* mapped = mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd,
                      static_cast<off_t>(file_offset));
  if (mapped == MAP_FAILED) {
    const int reason = errno;
    return refused(reason, fmt::format("map {} bytes of an image copy-on-write", size));
  }
  return {};
}

Result<int> create_file(std::size_t size, std::size_t /*capacity: a memfd may grow at will*/) {
  // Systems that forbid executable memory files want to be told; kernels before 6.3 do not know the
  // flag.
  int fd = memfd_create("driftwood", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL) fd = memfd_create("driftwood", MFD_CLOEXEC);
  if (fd < 0) return refused(errno, "create a memory file");
  if (auto resized = resize_file(fd, size); !resized) {
    close(fd);
    return std::unexpected(std::move(resized).error());
  }
  return fd;
}

Result<void> resize_file(int fd, std::size_t size) {
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) {
    const int reason = errno;
    return refused(reason, fmt::format("resize a memory file to {} bytes", size));
  }
  return {};
}

}  // namespace driftwood::system_memory
