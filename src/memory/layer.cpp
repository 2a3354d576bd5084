#include "memory/layer.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "memory/region.hpp"
#include "memory/system_memory.hpp"

namespace driftwood {

Result<std::shared_ptr<const Layer>> Layer::seal(std::shared_ptr<const MemoryFile> file, ByteRange range) {
  DW_CHECK(range.size != 0 && range.within(file->size()));
  DW_TRY_ASSIGN(LayerView view, LayerView::map(file->fd(), range));
  return seal_viewed(std::move(file), range, std::move(view));
}

std::shared_ptr<const Layer> Layer::seal_viewed(std::shared_ptr<const MemoryFile> file, ByteRange range,
                                                LayerView view) {
  auto layer = std::shared_ptr<Layer>(new Layer);
  layer->fd_ = file->fd();
  layer->memory_file_ = std::move(file);
  layer->range_ = range;
  layer->view_ = std::move(view);
  layer->data_ = layer->view_.data();
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
  DW_TRY_ASSIGN(layer->view_, LayerView::map(layer->fd_, range));
  layer->data_ = layer->view_.data();
  return layer;
}

Layer::~Layer() {
  if (copies_ != nullptr) {
    copies_->give_back(std::move(place_));
  } else if (memory_file_ != nullptr) {
    system_memory::discard(fd_, range_);
  } else if (fd_ >= 0) {
    close(fd_);
  }
}

}  // namespace driftwood
