// What an actor's linear memory consists of, in pieces of 64 KiB, and a drawing of it. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "context_scan.hpp"
#include "core/bytes.hpp"
#include "memory/image.hpp"

namespace driftwood::cli {

/// A page of WebAssembly, and a chunk of a snapshot file.
inline constexpr std::size_t kMapChunk = 64 * kKiB;

enum class ChunkKind : std::uint8_t {
  zero,    ///< all bytes are zero
  shared,  ///< the parent has it at the same place
  own,     ///< written since, or there is no parent here
};

struct MemoryMap {
  std::vector<ChunkKind> chunks;
  std::size_t count(ChunkKind kind) const noexcept;
};

/// `memory` are the bytes of `image`; a parent (which may be null) is from the same store.
MemoryMap map_memory(std::span<const std::byte> memory, const Image& image, const Image* parent);

/// What is written around a drawing.
struct MapCaption {
  std::string title;
  std::string subtitle;
  bool has_parent = false;
};

/// The map as an SVG document: a cell for each chunk, or for several where there are many; Contexts are framed.
std::string draw_memory_map(const MemoryMap& map, std::span<const FoundContext> contexts, const MapCaption& caption);

}  // namespace driftwood::cli
