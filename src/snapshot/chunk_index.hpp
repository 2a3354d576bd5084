// Which chunks of a linear memory are not zero, and the hash of each.
//
//   chunks   0 1 2 3 4 5 6 7 ...        a chunk is 64 KiB of linear memory
//            # # . . # # # .            #: not zero
//   spans    [0,2)   [4,7)
//   hashes   h0 h1   h4 h5 h6
//
// Always: spans are in order, not empty, and at least one zero chunk lies between two.
// Internal to src/snapshot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/bytes.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"

namespace driftwood {

/// As large as the largest page, so that every machine can map a chunk as it lies in a file; and a page of WebAssembly,
/// so that every linear memory is a whole number of chunks.
inline constexpr std::size_t kChunkSize = 64 * kKiB;
/// 4 GiB: all that 32-bit linear memory can be.
inline constexpr std::uint32_t kMaxChunks = 65536;

struct ChunkSpan {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  friend bool operator==(const ChunkSpan&, const ChunkSpan&) = default;
};

class ChunkIndex {
 public:
  ChunkIndex() = default;
  /// Of a memory of `chunk_count` zero chunks, at most kMaxChunks.
  explicit ChunkIndex(std::uint32_t chunk_count) : chunk_count_(chunk_count) {}

  std::uint32_t chunk_count() const noexcept { return chunk_count_; }
  std::span<const ChunkSpan> spans() const noexcept { return spans_; }
  std::span<const Hash> hashes() const noexcept { return hashes_; }
  /// Adds a chunk behind all that were added.
  void add(std::uint32_t chunk, const Hash& hash);
  /// For each chunk of the memory its hash, or null when it is zero. Dies with the index.
  std::vector<const Hash*> by_chunk() const;
  /// Calls visit(chunk, hash) for each chunk that is not zero, in order.
  template <typename Visit>
  void for_each(Visit visit) const {
    std::size_t next = 0;
    for (const ChunkSpan& span : spans_) {
      for (std::uint32_t i = 0; i < span.count; ++i) visit(span.first + i, hashes_[next++]);
    }
  }

  std::vector<std::byte> encode() const;
  /// corrupt: not what encode() gives for a memory of so many chunks.
  static Result<ChunkIndex> decode(std::span<const std::byte> bytes, std::uint32_t chunk_count);

  friend bool operator==(const ChunkIndex&, const ChunkIndex&) = default;

 private:
  std::uint32_t chunk_count_ = 0;
  std::vector<ChunkSpan> spans_;
  std::vector<Hash> hashes_;
};

/// The root hash: over the memory's size, the manifest and the index, and through these over every byte of memory.
Hash root_hash(std::uint64_t memory_size, std::span<const std::byte> manifest, std::span<const std::byte> index);

}  // namespace driftwood
