// An Image seen as chunks: their bytes as they lie, and their hashes. Internal to src/snapshot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "memory/image.hpp"
#include "snapshot/chunk_index.hpp"

namespace driftwood {

/// Appends the bytes of one chunk, kChunkSize in all: parts of the Layers' views, and zeros between them. They can be
/// read as long as the Image lives.
void append_chunk_pieces(const Image& image, std::uint32_t chunk, std::vector<std::span<const std::byte>>& pieces);

/// True when all bytes are zero.
bool is_zero(std::span<const std::byte> bytes) noexcept;

/// An Image whose chunks are known.
struct IndexedImage {
  const Image& image;
  const ChunkIndex& index;
  std::span<const ByteRange> unknown = {};  ///< where the image does not tell what the index is of
};

/// Hashes the chunks of an Image, whose size is a multiple of kChunkSize. Of chunks that `base` (which may be null) has
/// from the same place of the same Layers, nothing is read. Uses more threads where there is much to read.
ChunkIndex index_image(const Image& image, const IndexedImage* base);

/// Calls work(i) once for each i below `count`, on several threads where `bytes` to be read are many.
void in_parallel(std::size_t count, std::uint64_t bytes, const std::function<void(std::size_t)>& work);

}  // namespace driftwood
