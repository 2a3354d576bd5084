#include "device/mirror/mirror.hpp"

namespace driftwood {

Result<std::unique_ptr<Mirror>> Mirror::create(MirrorMemory& memory, const Region& region, std::byte* host,
                                               ByteRange range) {
  std::unique_ptr<Mirror> mirror(new Mirror(memory, region, host, range));
  const std::size_t size = align_up(range.size, memory.chunk_size());
  mirror->chunks_.resize(size / memory.chunk_size());
  // Tensors are given room behind them, which nobody touches.
  DW_TRY_ASSIGN(mirror->device_, memory.reserve(mirror->reserved()));
  DW_TRY_ASSIGN(mirror->buffer_, memory.buffer(mirror->device_, mirror->reserved()));
  return mirror;
}

Mirror::~Mirror() {
  clear();
  if (buffer_ != nullptr) ggml_backend_buffer_free(buffer_);
  if (device_ != nullptr) memory_->release(device_, reserved());
}

Result<void> Mirror::set_chunk(std::size_t index, std::shared_ptr<MirrorChunk> chunk) {
  std::byte* const at = device_ + index * memory_->chunk_size();
  if (chunks_[index] != nullptr) {
    memory_->unmap(at);
    chunks_[index].reset();
  }
  DW_TRY(memory_->map(at, chunk->handle));
  chunks_[index] = std::move(chunk);
  return {};
}

void Mirror::clear() noexcept {
  for (std::size_t i = 0; i < chunks_.size(); ++i) {
    if (chunks_[i] == nullptr) continue;
    memory_->unmap(device_ + i * memory_->chunk_size());
    chunks_[i].reset();
  }
  valid = 0;
}

}  // namespace driftwood
