#include "memory/layer.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "memory/region.hpp"
#include "memory/system_memory.hpp"

namespace driftwood {

Result<std::shared_ptr<const Layer>> Layer::seal(std::shared_ptr<const MemoryFile> file, ByteRange range) {
  DW_CHECK(range.size != 0 && range.within(file->size()));
  DW_TRY_ASSIGN(LayerView mapped, LayerView::map(file->fd(), range));
  auto view = std::make_shared<const LayerView>(std::move(mapped));
  const std::byte* const at = view->data();
  return seal_viewed(std::move(file), range, std::move(view), at);
}

std::shared_ptr<const Layer> Layer::seal_viewed(std::shared_ptr<const MemoryFile> file, ByteRange range,
                                                std::shared_ptr<const LayerView> view, const std::byte* at) {
  auto layer = std::shared_ptr<Layer>(new Layer);
  layer->fd_ = file->fd();
  layer->memory_file_ = std::move(file);
  layer->range_ = range;
  layer->view_ = std::move(view);
  layer->data_ = at;
  return layer;
}

std::shared_ptr<const Layer> Layer::join(const std::shared_ptr<const Layer>& low, ByteRange low_part,
                                         const std::shared_ptr<const Layer>& high, ByteRange high_part) {
  const std::byte* const begin = low->view() + low_part.offset;
  const std::size_t offset = low->file_offset() + low_part.offset;
  const bool follows = low->memory_file() != nullptr && low->memory_file() == high->memory_file() &&
                       offset + low_part.size == high->file_offset() + high_part.offset &&
                       begin + low_part.size == high->view() + high_part.offset;
  if (!follows) return nullptr;
  auto layer = std::shared_ptr<Layer>(new Layer);
  layer->fd_ = low->fd_;
  layer->memory_file_ = low->memory_file_;
  layer->range_ = {offset, low_part.size + high_part.size};
  layer->view_ = low->view_;
  layer->data_ = begin;
  layer->parts_ = {low, high};
  layer->joins_ = std::max(low->joins_, high->joins_) + 1;
  return layer;
}

std::shared_ptr<const Layer> Layer::seal_copy(std::shared_ptr<CopyFile> file, CopyFile::Place place, std::size_t size) {
  DW_CHECK(size != 0 && size <= place.range.size);
  auto layer = std::shared_ptr<Layer>(new Layer);
  layer->fd_ = file->fd();
  layer->copies_ = std::move(file);
  layer->range_ = {place.range.offset, size};
  layer->data_ = place.at;
  layer->place_ = std::move(place);
  return layer;
}

Result<std::shared_ptr<const Layer>> Layer::open(const std::filesystem::path& file, ByteRange range) {
  if (range.size == 0 || !is_aligned(range.offset, page_size()) || !is_aligned(range.size, page_size())) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Bytes {} to {} of {} cannot be mapped: they are not whole pages of {} bytes.",
                            range.offset, range.offset + range.size, file.string(), page_size()));
  }
  auto layer = std::shared_ptr<Layer>(new Layer);
  layer->fd_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (layer->fd_ < 0) {
    const int reason = errno;
    return fail(ErrorCode::not_found, fmt::format("The file {} cannot be opened: {}.", file.string(),
                                                  std::generic_category().message(reason)));
  }
  struct stat status{};
  if (fstat(layer->fd_, &status) != 0 || !range.within(static_cast<std::size_t>(status.st_size))) {
    return fail(ErrorCode::corrupt, fmt::format("The file {} has {} bytes, but {} are needed: it was cut short.",
                                                file.string(), status.st_size, range.offset + range.size));
  }
  layer->range_ = range;
  DW_TRY_ASSIGN(LayerView view, LayerView::map(layer->fd_, range));
  layer->view_ = std::make_shared<const LayerView>(std::move(view));
  layer->data_ = layer->view_->data();
  return layer;
}

Layer::~Layer() {
  if (joins_ != 0) return;
  if (copies_ != nullptr) {
    copies_->give_back(std::move(place_));
  } else if (memory_file_ != nullptr) {
    system_memory::discard(fd_, range_);
  } else if (fd_ >= 0) {
    close(fd_);
  }
}

LayerPlace place_of(const std::shared_ptr<const Layer>& layer, std::size_t offset) {
  if (layer->memory_file() == nullptr) return {layer, offset};
  return {layer->memory_file(), layer->file_offset() + offset};
}

}  // namespace driftwood
