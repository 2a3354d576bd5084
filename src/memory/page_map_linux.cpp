// Linux: which pages of a copy-on-write mapping were written, from the page map.
//
// A page of such a mapping is the file's until it is written, and anonymous from
// then on. PAGEMAP_SCAN (Linux 6.7) lists the anonymous ones and skips what was never
// touched; before that, /proc/self/pagemap has one entry for each page. Both are
// described in the kernel's Documentation/admin-guide/mm/pagemap.rst. The environment
// variable DRIFTWOOD_PAGE_MAP (scan, entries, compare) allows one way alone.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "memory/region.hpp"
#include "memory/system_memory.hpp"

namespace driftwood::system_memory {
namespace {

// <linux/fs.h> of Linux 6.7; older systems' headers do not have it.
struct ScannedRegion {
  std::uint64_t start, end, categories;
};
struct ScanArguments {
  std::uint64_t size, flags, start, end, walk_end, regions, n_regions, max_pages;
  std::uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
constexpr unsigned long kScan = _IOWR('f', 16, ScanArguments);
constexpr std::uint64_t kIsFile = 1u << 2;
constexpr std::uint64_t kIsPresent = 1u << 3;
constexpr std::uint64_t kIsSwapped = 1u << 4;

// Bits of an entry of /proc/self/pagemap.
constexpr std::uint64_t kEntryPresent = std::uint64_t{1} << 63;
constexpr std::uint64_t kEntrySwapped = std::uint64_t{1} << 62;
constexpr std::uint64_t kEntryIsFile = std::uint64_t{1} << 61;

/// The process's page map, open. A child process has one of its own.
class PageMapFile {
 public:
  int fd() noexcept {
    const pid_t self = getpid();
    if (owner_.load(std::memory_order_acquire) != self) reopen(self);
    return fd_.load(std::memory_order_relaxed);
  }

 private:
  void reopen(pid_t self) noexcept {
    while (lock_.test_and_set(std::memory_order_acquire)) {
    }
    if (owner_.load(std::memory_order_relaxed) != self) {
      fd_.store(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), std::memory_order_relaxed);
      owner_.store(self, std::memory_order_release);
    }
    lock_.clear(std::memory_order_release);
  }

  std::atomic<pid_t> owner_{0};
  std::atomic<int> fd_{-1};
  std::atomic_flag lock_;
};

int page_map_fd() noexcept {
  static PageMapFile file;
  return file.fd();
}

/// Appends [offset, offset + size), joined to the last range where they meet.
void append(std::vector<ByteRange>& ranges, std::size_t offset, std::size_t size) {
  if (!ranges.empty() && ranges.back().offset + ranges.back().size == offset) {
    ranges.back().size += size;
  } else {
    ranges.push_back({offset, size});
  }
}

bool scan(const std::byte* at, std::size_t size, std::vector<ByteRange>& found) {
  const auto base = reinterpret_cast<std::uint64_t>(at);
  std::array<ScannedRegion, 64> regions;
  ScanArguments arguments{};
  arguments.size = sizeof(arguments);
  arguments.start = base;
  arguments.end = base + size;
  arguments.regions = reinterpret_cast<std::uint64_t>(regions.data());
  arguments.n_regions = regions.size();
  // Anonymous: present or swapped out, and not the file's.
  arguments.category_inverted = kIsFile;
  arguments.category_mask = kIsFile;
  arguments.category_anyof_mask = kIsPresent | kIsSwapped;
  arguments.return_mask = kIsFile;
  while (arguments.start < arguments.end) {
    const int count = ioctl(page_map_fd(), kScan, &arguments);
    if (count < 0) return false;
    for (int i = 0; i < count; ++i) append(found, regions[i].start - base, regions[i].end - regions[i].start);
    arguments.start = arguments.walk_end;
  }
  return true;
}

bool read_entries(const std::byte* at, std::size_t size, std::vector<ByteRange>& found) {
  const std::size_t page = page_size();
  const std::size_t first = reinterpret_cast<std::uintptr_t>(at) / page;
  std::array<std::uint64_t, 4096> entries;
  for (std::size_t done = 0; done < size / page;) {
    const std::size_t count = std::min(entries.size(), size / page - done);
    const auto bytes = static_cast<ssize_t>(count * sizeof(entries[0]));
    if (pread(page_map_fd(), entries.data(), count * sizeof(entries[0]),
              static_cast<off_t>((first + done) * sizeof(entries[0]))) != bytes) {
      return false;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t entry = entries[i];
      if ((entry & (kEntryPresent | kEntrySwapped)) != 0 && (entry & kEntryIsFile) == 0) {
        append(found, (done + i) * page, page);
      }
    }
    done += count;
  }
  return true;
}

using Finder = bool (*)(const std::byte*, std::size_t, std::vector<ByteRange>&);

/// Whether `find` sees what is known: emulators give page maps of another process's addresses, or none.
bool is_right(Finder find) {
  const std::size_t page = page_size();
  const Result<int> fd = create_file(4 * page, 4 * page);
  if (!fd) return false;
  bool right = false;
  if (const Result<std::byte*> at = reserve(4 * page); at) {
    if (map_private(*at, 4 * page, *fd, 0)) {
      static_cast<void>(*static_cast<volatile std::byte*>(*at));  // read, not written
      (*at)[page] = std::byte{1};
      (*at)[2 * page] = std::byte{1};
      std::vector<ByteRange> found;
      right = find(*at, 4 * page, found) && found == std::vector<ByteRange>{{page, 2 * page}};
    }
    release(*at, 4 * page);
  }
  close(*fd);
  return right;
}

Finder choose() noexcept {
  const char* forced = std::getenv("DRIFTWOOD_PAGE_MAP");
  const std::string_view only = forced == nullptr ? "" : forced;
  if ((only.empty() || only == "scan") && is_right(scan)) return scan;
  if ((only.empty() || only == "entries") && is_right(read_entries)) return read_entries;
  return nullptr;
}

Finder finder() noexcept {
  static const Finder kFinder = choose();
  return kFinder;
}

}  // namespace

bool can_find_written() noexcept { return finder() != nullptr; }

Result<std::vector<ByteRange>> find_written(const std::byte* at, std::size_t size) {
  std::vector<ByteRange> found;
  const Finder find = finder();
  if (find == nullptr || !find(at, size, found)) {
    return fail(ErrorCode::unsupported, "This system does not say which pages were written.");
  }
  return found;
}

}  // namespace driftwood::system_memory
