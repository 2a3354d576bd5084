#include "snapshot/image_chunks.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <system_error>
#include <thread>

namespace driftwood {
namespace {

/// Below this, starting a thread costs more than it saves.
constexpr std::uint64_t kBytesPerThread = kMiB;
constexpr std::uint64_t kMostThreads = 4;

alignas(64) constexpr std::array<std::byte, kChunkSize> kZeros{};

/// The chunks that have to be read, in order.
std::vector<std::uint32_t> chunks_to_read(const Image& image, const IndexedImage* base) {
  std::vector<ByteRange> ranges;
  if (base != nullptr) {
    ranges = image.changes_since(base->image);
    ranges.insert(ranges.end(), base->unknown.begin(), base->unknown.end());
  } else {
    for (const Extent& extent : image.extents()) ranges.push_back(extent.range);
  }
  std::vector<bool> read(image.size() / kChunkSize, false);
  for (const ByteRange& range : ranges) {
    const std::size_t end = std::min(range.offset + range.size, image.size());
    for (std::size_t chunk = range.offset / kChunkSize; chunk * kChunkSize < end; ++chunk) read[chunk] = true;
  }
  std::vector<std::uint32_t> chunks;
  for (std::size_t chunk = 0; chunk < read.size(); ++chunk) {
    if (read[chunk]) chunks.push_back(static_cast<std::uint32_t>(chunk));
  }
  return chunks;
}

std::optional<Hash> hash_chunk(const Image& image, std::uint32_t chunk) {
  std::vector<std::span<const std::byte>> pieces;
  append_chunk_pieces(image, chunk, pieces);
  if (std::ranges::all_of(pieces, [](auto piece) { return is_zero(piece); })) return std::nullopt;
  Hasher hasher;
  for (const auto& piece : pieces) hasher.update(piece);
  return hasher.finish();
}

}  // namespace

void append_chunk_pieces(const Image& image, std::uint32_t chunk, std::vector<std::span<const std::byte>>& pieces) {
  std::size_t at = chunk * kChunkSize;
  const std::size_t end = at + kChunkSize;
  auto extent = std::ranges::partition_point(image.extents(),
                                             [&](const Extent& e) { return e.range.offset + e.range.size <= at; });
  while (at < end) {
    const bool covered = extent != image.extents().end() && extent->range.offset <= at;
    if (covered) {
      const std::size_t until = std::min(end, extent->range.offset + extent->range.size);
      pieces.emplace_back(extent->view() + (at - extent->range.offset), until - at);
      at = until;
      ++extent;
    } else {
      const std::size_t until = extent == image.extents().end() ? end : std::min(end, extent->range.offset);
      pieces.emplace_back(kZeros.data(), until - at);
      at = until;
    }
  }
}

bool is_zero(std::span<const std::byte> bytes) noexcept {
  // Equal to itself moved by one byte: as fast as the C library compares.
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

ChunkIndex index_image(const Image& image, const IndexedImage* base) {
  DW_CHECK(image.size() % kChunkSize == 0);
  const auto read = chunks_to_read(image, base);
  std::vector<std::optional<Hash>> hashes(read.size());
  in_parallel(read.size(), read.size() * kChunkSize, [&](std::size_t i) { hashes[i] = hash_chunk(image, read[i]); });

  ChunkIndex index(static_cast<std::uint32_t>(image.size() / kChunkSize));
  std::vector<const Hash*> known;
  if (base != nullptr) known = base->index.by_chunk();
  known.resize(index.chunk_count(), nullptr);
  for (std::size_t i = 0; i < read.size(); ++i) known[read[i]] = hashes[i] ? &*hashes[i] : nullptr;
  for (std::uint32_t chunk = 0; chunk < index.chunk_count(); ++chunk) {
    if (known[chunk] != nullptr) index.add(chunk, *known[chunk]);
  }
  return index;
}

void in_parallel(std::size_t count, std::uint64_t bytes, const std::function<void(std::size_t)>& work) {
  const std::uint64_t cores = std::max(1u, std::thread::hardware_concurrency());
  const std::uint64_t threads = std::min({1 + bytes / kBytesPerThread, kMostThreads, cores});
  std::atomic<std::size_t> next{0};
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::thread> helpers;
  try {
    for (std::uint64_t i = 1; i < threads; ++i) helpers.emplace_back(run);
  } catch (const std::system_error&) {
    // The system gives no more threads; those that there are do the work.
  }
  run();
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace driftwood
