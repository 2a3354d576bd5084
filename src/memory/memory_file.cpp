#include "memory/memory_file.hpp"

#include <fmt/format.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include "memory/system_memory.hpp"

namespace driftwood {

Result<std::shared_ptr<MemoryFile>> MemoryFile::create(std::size_t size, std::size_t capacity) {
  if (size > capacity) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Memory file size ({}) is more than its capacity ({}).", size, capacity));
  }
  constexpr auto kLargest = static_cast<std::size_t>(std::numeric_limits<off_t>::max());
  if (capacity > kLargest) {
    return fail(
        ErrorCode::out_of_memory,
        fmt::format("Memory file capacity ({}) is more than the system's files can hold ({}).", capacity, kLargest));
  }
  DW_TRY_ASSIGN(const int fd, system_memory::create_file(size, capacity));
  return std::shared_ptr<MemoryFile>(new MemoryFile(fd, size, capacity));
}

MemoryFile::~MemoryFile() { close(fd_); }

Result<void> MemoryFile::resize(std::size_t size) {
  if (size < size_ || size > capacity_) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("Memory file size ({}) is not in {} (its size now) to {} (its capacity).", size, size_, capacity_));
  }
  DW_TRY(system_memory::resize_file(fd_, size));
  size_ = size;
  return {};
}

Result<void> MemoryFile::write(std::size_t offset, std::span<const std::span<const std::byte>> pieces) {
  std::size_t done = 0;  // of the first piece
  while (!pieces.empty()) {
    std::array<iovec, 64> parts;
    const std::size_t count = std::min(parts.size(), pieces.size());
    for (std::size_t i = 0; i < count; ++i) {
      const auto part = pieces[i].subspan(i == 0 ? done : 0);
      parts[i] = {const_cast<std::byte*>(part.data()), part.size()};
    }
    const ssize_t result = pwritev(fd_, parts.data(), static_cast<int>(count), static_cast<off_t>(offset));
    if (result < 0 && errno == EINTR) continue;
    const auto written = result < 0 ? 0 : static_cast<std::size_t>(result);
    offset += written;
    done += written;
    while (!pieces.empty() && done >= pieces.front().size()) {
      done -= pieces.front().size();
      pieces = pieces.subspan(1);
    }
    if (result < 0 || (written == 0 && !pieces.empty())) {
      const int reason = errno;
      return system_memory::refused(reason, "write to a memory file");
    }
  }
  return {};
}

}  // namespace driftwood
