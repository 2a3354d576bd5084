#include "memory/layer_view.hpp"

#include <utility>

#include "memory/system_memory.hpp"

namespace driftwood {

LayerView::LayerView(std::byte* base, std::size_t size) noexcept : base_(base), size_(size), data_(base) {}

Result<LayerView> LayerView::map(int fd, ByteRange range) {
  DW_TRY_ASSIGN(std::byte* const base, system_memory::map_view(range.size, fd, range.offset, /*is_writable=*/false));
  return LayerView(base, range.size);
}

Result<LayerView> LayerView::map_writable(int fd, ByteRange range) {
  DW_TRY_ASSIGN(std::byte* const base, system_memory::map_view(range.size, fd, range.offset, /*is_writable=*/true));
  return LayerView(base, range.size);
}

Result<LayerView> LayerView::reserve(std::size_t size) {
  DW_TRY_ASSIGN(std::byte* const base, system_memory::reserve(size));
  return LayerView(base, size);
}

LayerView::LayerView(LayerView&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)), size_(other.size_), data_(other.data_) {}

LayerView& LayerView::operator=(LayerView&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(size_, other.size_);
  std::swap(data_, other.data_);
  return *this;
}

LayerView::~LayerView() {
  if (base_ != nullptr) system_memory::release(base_, size_);
}

}  // namespace driftwood
