#include "memory/system_memory.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "memory/region.hpp"

namespace driftwood {

std::size_t page_size() noexcept {
  static const auto kPageSize = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return kPageSize;
}

namespace system_memory {

std::unexpected<Error> refused(int error_number, std::string_view what) {
  return fail(ErrorCode::out_of_memory,
              fmt::format("The system refused to {} ({}).", what, std::generic_category().message(error_number)));
}

Result<std::byte*> reserve(std::size_t size) {
  void* base = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    const int reason = errno;
    return refused(reason, fmt::format("reserve {} bytes of address space", size));
  }
  return static_cast<std::byte*>(base);
}

void release(std::byte* base, std::size_t size) noexcept { DW_CHECK(munmap(base, size) == 0); }

Result<void> map_shared(std::byte* at, std::size_t size, int fd, std::size_t file_offset) {
  void* mapped = mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, static_cast<off_t>(file_offset));
  if (mapped == MAP_FAILED) {
    const int reason = errno;
    return refused(reason, fmt::format("map {} bytes of a memory file", size));
  }
  return {};
}

Result<std::byte*> map_view(std::size_t size, int fd, std::size_t file_offset, bool is_writable) {
  const int access = is_writable ? PROT_READ | PROT_WRITE : PROT_READ;
  void* mapped = mmap(nullptr, size, access, MAP_SHARED, fd, static_cast<off_t>(file_offset));
  if (mapped == MAP_FAILED) {
    const int reason = errno;
    return refused(reason, fmt::format("map {} bytes for reading", size));
  }
  return static_cast<std::byte*>(mapped);
}

}  // namespace system_memory
}  // namespace driftwood
