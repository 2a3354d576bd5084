#include "device/mirror/mirror_span.hpp"

#include <algorithm>
#include <utility>

#include "core/bytes.hpp"

namespace driftwood {

Result<std::unique_ptr<MirrorSpan>> MirrorSpan::create(MirrorMemory& memory, std::size_t size) {
  const std::size_t chunk = memory.chunk_size();
  std::unique_ptr<MirrorSpan> span(new MirrorSpan(memory, align_up(size, chunk) / chunk));
  // Tensors are given room behind them, which nobody touches.
  DW_TRY_ASSIGN(span->device_, memory.reserve(span->reserved()));
  DW_TRY_ASSIGN(span->buffer_, memory.buffer(span->device_, span->reserved()));
  return span;
}

MirrorSpan::~MirrorSpan() {
  clear();
  if (buffer_ != nullptr) ggml_backend_buffer_free(buffer_);
  if (device_ != nullptr) memory_->release(device_, reserved());
}

bool MirrorSpan::has_chunks() const noexcept {
  return std::ranges::any_of(slots_, [](const Slot& slot) { return slot.chunk != nullptr; });
}

Result<void> MirrorSpan::set_chunk(std::size_t index, std::shared_ptr<MirrorChunk> chunk, bool is_clean) {
  std::byte* const at = device_ + index * memory_->chunk_size();
  Slot& slot = slots_[index];
  if (slot.chunk != nullptr) {
    memory_->unmap(at, memory_->chunk_size());
    slot.chunk.reset();
  }
  DW_TRY(memory_->map(at, chunk->handle));
  slot = {std::move(chunk), is_clean};
  return {};
}

Result<void> MirrorSpan::clean(std::size_t index, std::size_t keep) {
  Slot& slot = slots_[index];
  if (slot.is_clean) return {};
  const std::size_t size = memory_->chunk_size();
  DW_TRY(memory_->clear(device_ + index * size + keep, size - keep));
  slot.is_clean = true;
  return {};
}

void MirrorSpan::give_away() noexcept {
  for (Slot& slot : slots_) slot.is_clean = false;
}

void MirrorSpan::clear() noexcept {
  const std::size_t chunk = memory_->chunk_size();
  for (std::size_t i = 0; i < slots_.size();) {
    std::size_t end = i;
    for (; end < slots_.size() && slots_[end].chunk != nullptr; ++end) {
    }
    // What lies together is taken away at once.
    if (end > i) memory_->unmap(device_ + i * chunk, (end - i) * chunk);
    for (; i < end; ++i) slots_[i] = {};
    ++i;
  }
}

}  // namespace driftwood
