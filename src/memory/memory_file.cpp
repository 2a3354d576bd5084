#include "memory/memory_file.hpp"

#include <fmt/format.h>
#include <sys/types.h>
#include <unistd.h>

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

}  // namespace driftwood
