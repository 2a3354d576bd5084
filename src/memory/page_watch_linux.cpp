// Linux: marks by userfaultfd, read by PAGEMAP_SCAN; both described in the kernel's
// Documentation/admin-guide/mm/{userfaultfd,pagemap}.rst.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include "memory/page_watch.hpp"
#include "memory/region.hpp"

namespace driftwood {
namespace {

// Of Linux 6.7; older systems' headers do not have them.
constexpr std::uint64_t kWriteProtectShared = 1u << 12;
constexpr std::uint64_t kWriteProtectUnpopulated = 1u << 13;
constexpr std::uint64_t kWriteProtectAsync = 1u << 15;
constexpr int kUserModeOnly = 1;
struct ScannedRegion {
  std::uint64_t start, end, categories;
};
struct ScanArguments {
  std::uint64_t size, flags, start, end, walk_end, regions, n_regions, max_pages;
  std::uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
constexpr unsigned long kScan = _IOWR('f', 16, ScanArguments);
constexpr std::uint64_t kOnlyWatched = 1u << 1;  // fails where a mapping is not write-protected
constexpr std::uint64_t kIsWritten = 1u << 1;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

class LinuxPageWatch final : public PageWatch {
 public:
  LinuxPageWatch(FileDescriptor faults, FileDescriptor page_map)
      : faults_(std::move(faults)), page_map_(std::move(page_map)) {}

  Result<void> watch(const std::byte* at, std::size_t size) override {
    const auto [start, bytes] = whole_pages(at, size);
    uffdio_register registration{.range = {start, bytes}, .mode = UFFDIO_REGISTER_MODE_WP, .ioctls = 0};
    uffdio_writeprotect protection{.range = {start, bytes}, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    if (ioctl(faults_.get(), UFFDIO_WRITEPROTECT, &protection) == 0) return {};
    // Not registered yet, or mapped anew since.
    if (ioctl(faults_.get(), UFFDIO_REGISTER, &registration) != 0 ||
        ioctl(faults_.get(), UFFDIO_WRITEPROTECT, &protection) != 0) {
      return fail(ErrorCode::unavailable, fmt::format("{} bytes of memory cannot be watched for writes: {}.", bytes,
                                                      std::generic_category().message(errno)));
    }
    return {};
  }

  void unwatch(const std::byte* at, std::size_t size) noexcept override {
    const auto [start, bytes] = whole_pages(at, size);
    uffdio_writeprotect protection{.range = {start, bytes}, .mode = 0};
    ioctl(faults_.get(), UFFDIO_WRITEPROTECT, &protection);
  }

  std::optional<std::size_t> first_written(const std::byte* at, std::size_t size) const override {
    const auto [start, bytes] = whole_pages(at, size);
    ScannedRegion region{};
    ScanArguments arguments{};
    arguments.size = sizeof(arguments);
    arguments.flags = kOnlyWatched;
    arguments.start = start;
    arguments.end = start + bytes;
    arguments.regions = reinterpret_cast<std::uint64_t>(&region);
    arguments.n_regions = 1;
    arguments.max_pages = 1;
    arguments.category_mask = kIsWritten;
    arguments.return_mask = kIsWritten;
    const int found = ioctl(page_map_.get(), kScan, &arguments);
    if (found == 0) return std::nullopt;
    if (found < 0) return 0;
    const auto address = reinterpret_cast<std::uint64_t>(at);
    return region.start <= address ? 0 : region.start - address;
  }

 private:
  struct Pages {
    std::uint64_t start, bytes;
  };
  static Pages whole_pages(const std::byte* at, std::size_t size) {
    const auto address = reinterpret_cast<std::uint64_t>(at);
    const std::uint64_t start = address & ~std::uint64_t{page_size() - 1};
    return {start, align_up(address + size, page_size()) - start};
  }

  FileDescriptor faults_;
  FileDescriptor page_map_;
};

}  // namespace

Result<std::unique_ptr<PageWatch>> PageWatch::create() {
  FileDescriptor faults(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | kUserModeOnly)));
  uffdio_api api{
      .api = UFFD_API, .features = kWriteProtectAsync | kWriteProtectUnpopulated | kWriteProtectShared, .ioctls = 0};
  if (faults.get() < 0 || ioctl(faults.get(), UFFDIO_API, &api) != 0) {
    return fail(ErrorCode::unsupported,
                fmt::format("This system cannot tell which pages are written (userfaultfd of Linux 6.7): {}.",
                            std::generic_category().message(errno)));
  }
  FileDescriptor page_map(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (page_map.get() < 0) {
    return fail(ErrorCode::unsupported, "This system does not show the process its page map.");
  }
  return std::make_unique<LinuxPageWatch>(std::move(faults), std::move(page_map));
}

}  // namespace driftwood
