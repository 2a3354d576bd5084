// macOS: memory files are POSIX shared-memory objects. Their size can be set only
// once, so it is set to the capacity (pages are made when touched), and they can
// only be mapped shared, so a copy-on-write mapping is a Mach copy of a shared one.
#include <fcntl.h>
#include <fmt/format.h>
#include <mach/mach.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "memory/region.hpp"
#include "memory/system_memory.hpp"

namespace driftwood::system_memory {

Result<void> map_private(std::byte* at, std::size_t size, int fd, std::size_t file_offset) {
  // Files on disk can be mapped privately, shared-memory objects cannot.
  if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, static_cast<off_t>(file_offset)) !=
      MAP_FAILED) {
    return {};
  }
  void* shared = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(file_offset));
  if (shared == MAP_FAILED) {
    const int reason = errno;
    return refused(reason, fmt::format("map {} bytes of an image", size));
  }
  auto target = reinterpret_cast<vm_address_t>(at);
  vm_prot_t current = VM_PROT_NONE;
  vm_prot_t maximum = VM_PROT_NONE;
  const kern_return_t status =
      vm_remap(mach_task_self(), &target, size, 0, VM_FLAGS_FIXED | VM_FLAGS_OVERWRITE, mach_task_self(),
               reinterpret_cast<vm_address_t>(shared), /*copy=*/TRUE, &current, &maximum, VM_INHERIT_COPY);
  munmap(shared, size);
  if (status != KERN_SUCCESS) {
    return refused(ENOMEM, fmt::format("map {} bytes of an image copy-on-write", size));
  }
  return {};
}

Result<int> create_file(std::size_t /*size: what lies beyond is not mapped*/, std::size_t capacity) {
  std::random_device random;
  int fd = -1;
  do {
    const std::string name = fmt::format("/driftwood.{:08x}{:08x}", random(), random());
    fd = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
    if (fd >= 0) shm_unlink(name.c_str());
  } while (fd < 0 && errno == EEXIST);
  if (fd < 0) return refused(errno, "create a memory file");
  // An object without a size cannot be mapped at all.
  const std::size_t bytes = std::max(capacity, page_size());
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    const int reason = errno;
    close(fd);
    return refused(reason, fmt::format("size a memory file to {} bytes", bytes));
  }
  return fd;
}

Result<void> resize_file(int /*fd*/, std::size_t /*size*/) { return {}; }

void discard(int /*fd*/, ByteRange /*range: shared-memory objects keep their pages until they go*/) noexcept {}

Result<std::vector<ByteRange>> data_ranges(int /*fd*/, ByteRange range, std::size_t /*gap*/) {
  if (range.size == 0) return std::vector<ByteRange>{};
  return std::vector{range};
}

bool move_mapping(std::byte* /*from*/, std::size_t /*size*/, std::byte* /*to*/) noexcept { return false; }

bool can_find_written() noexcept { return false; }

Result<std::vector<ByteRange>> find_written(const std::byte* /*at*/, std::size_t /*size*/) {
  return fail(ErrorCode::unsupported, "This system does not say which pages were written.");
}

}  // namespace driftwood::system_memory
