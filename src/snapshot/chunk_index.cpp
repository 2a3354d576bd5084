#include "snapshot/chunk_index.hpp"

#include <fmt/format.h>

#include <string_view>

#include "snapshot/little_endian.hpp"

namespace driftwood {
namespace {

constexpr std::string_view kRootDomain = "driftwood snapshot root 1\n";
constexpr std::size_t kHashSize = sizeof(Hash::bytes);

}  // namespace

void ChunkIndex::add(std::uint32_t chunk, const Hash& hash) {
  DW_CHECK(chunk < chunk_count_);
  const std::uint32_t end = spans_.empty() ? 0 : spans_.back().first + spans_.back().count;
  DW_CHECK(chunk >= end);
  if (!spans_.empty() && chunk == end) {
    ++spans_.back().count;
  } else {
    spans_.push_back({chunk, 1});
  }
  hashes_.push_back(hash);
}

std::vector<const Hash*> ChunkIndex::by_chunk() const {
  std::vector<const Hash*> all(chunk_count_, nullptr);
  for_each([&](std::uint32_t chunk, const Hash& hash) { all[chunk] = &hash; });
  return all;
}

std::vector<std::byte> ChunkIndex::encode() const {
  std::vector<std::byte> bytes;
  bytes.reserve(8 + 8 * spans_.size() + kHashSize * hashes_.size());
  append_number(bytes, static_cast<std::uint32_t>(spans_.size()));
  append_number(bytes, static_cast<std::uint32_t>(hashes_.size()));
  for (const ChunkSpan& span : spans_) {
    append_number(bytes, span.first);
    append_number(bytes, span.count);
  }
  for (const Hash& hash : hashes_) append_bytes(bytes, hash.bytes);
  return bytes;
}

Result<ChunkIndex> ChunkIndex::decode(std::span<const std::byte> bytes, std::uint32_t chunk_count) {
  if (bytes.size() < 8) {
    return fail(ErrorCode::corrupt,
                fmt::format("The chunk index has {} bytes, and at least 8 are needed.", bytes.size()));
  }
  LittleEndianReader reader(bytes);
  const std::uint64_t span_count = reader.number<std::uint32_t>();
  const std::uint64_t hash_count = reader.number<std::uint32_t>();
  if (reader.left() != 8 * span_count + kHashSize * hash_count) {
    return fail(ErrorCode::corrupt,
                fmt::format("The chunk index has {} bytes, which do not hold {} spans and {} hashes.", bytes.size(),
                            span_count, hash_count));
  }
  ChunkIndex index(chunk_count);
  std::uint64_t counted = 0, end = 0;
  for (std::uint64_t i = 0; i < span_count; ++i) {
    const ChunkSpan span{reader.number<std::uint32_t>(), reader.number<std::uint32_t>()};
    const bool apart = i == 0 || span.first > end;
    end = std::uint64_t{span.first} + span.count;
    counted += span.count;
    if (!apart || span.count == 0 || end > chunk_count) {
      return fail(ErrorCode::corrupt,
                  fmt::format("Span {} of the chunk index ({} chunks from {} on) is empty, touches the one before, or "
                              "does not lie in the memory's {} chunks.",
                              i, span.count, span.first, chunk_count));
    }
    index.spans_.push_back(span);
  }
  if (counted != hash_count) {
    return fail(ErrorCode::corrupt,
                fmt::format("The chunk index counts {} chunks and has {} hashes.", counted, hash_count));
  }
  index.hashes_.reserve(hash_count);
  for (std::uint64_t i = 0; i < hash_count; ++i) index.hashes_.push_back(reader.hash());
  return index;
}

Hash root_hash(std::uint64_t memory_size, std::span<const std::byte> manifest, std::span<const std::byte> index) {
  std::vector<std::byte> sizes;
  append_number(sizes, memory_size);
  append_number(sizes, std::uint64_t{manifest.size()});
  Hasher hasher;
  hasher.update(std::as_bytes(std::span(kRootDomain)));
  hasher.update(sizes);
  hasher.update(manifest);
  hasher.update(index);
  return hasher.finish();
}

}  // namespace driftwood
