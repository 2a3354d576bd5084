// Linux: memory files are memfds, which can be mapped shared and private alike.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "memory/region.hpp"
#include "memory/system_memory.hpp"

// Newer than the headers of some systems.
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
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

void discard(int fd, ByteRange range) noexcept {
  // What cannot be given back now goes with the file.
  static_cast<void>(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(range.offset),
                              static_cast<off_t>(range.size)));
}

Result<std::vector<ByteRange>> data_ranges(int fd, ByteRange range, std::size_t gap) {
  std::vector<ByteRange> found;
  const auto page = static_cast<off_t>(page_size());
  const auto end = static_cast<off_t>(range.offset + range.size);
  bool is_refused = false;
  // The first place from `at` on that has data, or `end`.
  const auto find_data = [&](off_t at) {
    if (at >= end) return end;
    const off_t data = lseek(fd, at, SEEK_DATA);
    is_refused = is_refused || (data < 0 && errno != ENXIO);
    return data < 0 ? end : std::min(data, end);
  };
  off_t data = find_data(static_cast<off_t>(range.offset));
  while (data < end && !is_refused) {
    // Looking for a hole visits every page that is there; a look at one page in each `gap` bytes is enough to tell that
    // no larger hole lies between.
    off_t last = data;
    const auto step = static_cast<off_t>(gap);
    while (step != 0 && step < end - last && find_data(last + step) == last + step) last += step;
    if (is_refused) break;
    const off_t hole = lseek(fd, last, SEEK_HOLE);
    is_refused = hole < 0;
    // The file's units may be smaller than the process's pages, where these are emulated.
    const off_t run_start = data - data % page;
    const off_t run_end = std::min((hole + page - 1) / page * page, end);
    found.push_back({static_cast<std::size_t>(run_start), static_cast<std::size_t>(run_end - run_start)});
    data = find_data(run_end);
  }
  if (is_refused) {
    const int reason = errno;
    return refused(reason, "say which pages of a memory file are in use");
  }
  return found;
}

bool move_mapping(std::byte* from, std::size_t size, std::byte* to) noexcept {
  return mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) != MAP_FAILED;
}

}  // namespace driftwood::system_memory
