#include "device/worker/letters.hpp"

#include <sys/stat.h>

#include "device/worker/wire.hpp"
#include "memory/region.hpp"

namespace driftwood::worker {

Result<Letters> Letters::create(std::size_t capacity) {
  capacity = align_up(capacity, page_size());
  const std::size_t size = align_up(kFlags + 2 * capacity, page_size());
  DW_TRY_ASSIGN(auto file, MemoryFile::create(size));
  DW_TRY_ASSIGN(LayerView view, LayerView::map_writable(file->fd(), {0, size}));
  return Letters(std::move(file), std::move(view), capacity);
}

Result<Letters> Letters::open(int fd, std::size_t capacity) {
  struct stat status{};
  if (fstat(fd, &status) != 0 || capacity > kGiB * 64 || capacity == 0) return broken("letters");
  const std::size_t size = align_up(kFlags + 2 * capacity, page_size());
  if (static_cast<std::size_t>(status.st_size) < size) return broken("letters");
  DW_TRY_ASSIGN(LayerView view, LayerView::map_writable(fd, {0, size}));
  return Letters(nullptr, std::move(view), capacity);
}

}  // namespace driftwood::worker
