#include "snapshot/image_chunks.hpp"

#include <gtest/gtest.h>

#include <set>

#include "samples.hpp"

namespace driftwood {
namespace {

using testing::FrozenMemory;

/// The index by the plain copy, chunk by chunk.
ChunkIndex expected_index(std::span<const std::byte> bytes) {
  ChunkIndex index(static_cast<std::uint32_t>(bytes.size() / kChunkSize));
  for (std::uint32_t chunk = 0; chunk < index.chunk_count(); ++chunk) {
    const auto part = bytes.subspan(chunk * kChunkSize, kChunkSize);
    if (std::ranges::any_of(part, [](std::byte b) { return b != std::byte{0}; })) index.add(chunk, hash_bytes(part));
  }
  return index;
}

TEST(ImageChunks, IndexIsThatOfThePlainBytes) {
  FrozenMemory memory(120);
  EXPECT_EQ(index_image(*memory.freeze(), nullptr), expected_index(memory.plain()));
  memory.fill(5 * kChunkSize + 100, 70 * kChunkSize);  // enough for several threads
  memory.fill(100 * kChunkSize - 1, 2);
  const auto image = memory.freeze();
  EXPECT_EQ(index_image(*image, nullptr), expected_index(memory.plain()));
}

TEST(ImageChunks, ChangesOverABaseGiveTheSameIndex) {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    FrozenMemory memory(40, seed);
    std::shared_ptr<const Image> before = memory.freeze();
    ChunkIndex index = index_image(*before, nullptr);
    for (int turn = 0; turn < 20; ++turn) {
      memory.change_something();
      const auto now = memory.freeze();
      const IndexedImage base{*before, index};
      const ChunkIndex next = index_image(*now, &base);
      ASSERT_EQ(next, expected_index(memory.plain())) << "seed " << seed << ", turn " << turn;
      index = next;
      before = now;
    }
  }
}

TEST(ImageChunks, PiecesOfAChunkCoverItInOrder) {
  FrozenMemory memory(4);
  memory.fill(kChunkSize + 5000, 10);
  memory.freeze();
  memory.fill(kChunkSize + 30'000, 10);
  const auto image = memory.freeze();
  std::vector<std::span<const std::byte>> pieces;
  append_chunk_pieces(*image, 1, pieces);
  std::vector<std::byte> joined;
  for (const auto& piece : pieces) joined.insert(joined.end(), piece.begin(), piece.end());
  ASSERT_EQ(joined.size(), kChunkSize);
  EXPECT_TRUE(std::ranges::equal(joined, std::span(memory.plain()).subspan(kChunkSize, kChunkSize)));
}

TEST(ImageChunks, ZeroIsEveryByte) {
  std::vector<std::byte> bytes(1000);
  EXPECT_TRUE(is_zero(bytes));
  EXPECT_TRUE(is_zero({}));
  for (const std::size_t at : {0u, 1u, 500u, 999u}) {
    bytes[at] = std::byte{1};
    EXPECT_FALSE(is_zero(bytes));
    bytes[at] = std::byte{0};
  }
}

TEST(ImageChunks, ParallelWorkIsDoneOnceEach) {
  std::vector<std::atomic<int>> done(1000);
  in_parallel(done.size(), 100 * kMiB, [&](std::size_t i) { ++done[i]; });
  for (const auto& count : done) EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace driftwood
