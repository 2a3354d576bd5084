#include "memory_map.hpp"

#include <algorithm>

namespace driftwood::cli {
namespace {

bool is_all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

std::size_t MemoryMap::count(ChunkKind kind) const noexcept {
  return static_cast<std::size_t>(std::ranges::count(chunks, kind));
}

MemoryMap map_memory(std::span<const std::byte> memory, const Image& image, const Image* parent) {
  MemoryMap map;
  map.chunks.assign(memory.size() / kMapChunk, parent == nullptr ? ChunkKind::own : ChunkKind::shared);
  if (parent != nullptr) {
    for (const ByteRange& range : image.changes_since(*parent)) {
      const std::size_t last = std::min((range.offset + range.size + kMapChunk - 1) / kMapChunk, map.chunks.size());
      for (std::size_t i = range.offset / kMapChunk; i < last; ++i) map.chunks[i] = ChunkKind::own;
    }
  }
  for (std::size_t i = 0; i < map.chunks.size(); ++i) {
    if (is_all_zero(memory.subspan(i * kMapChunk, kMapChunk))) map.chunks[i] = ChunkKind::zero;
  }
  return map;
}

}  // namespace driftwood::cli
