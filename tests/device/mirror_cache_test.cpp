// Mirrors of plain memory: what a mirror shows is what its Region holds, whatever was written, sealed and evicted
// before.
#include "device/mirror/mirror_cache.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <initializer_list>

#include "device/null/null_device.hpp"
#include "support/value_of.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

constexpr std::size_t kChunk = 64 * kKiB;  // the null device's

/// A Region that a device has imported.
struct Memory {
  std::unique_ptr<Region> region;
  Import import;  ///< goes first: it pins the Region
};

class MirrorCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto watch = PageWatch::create(); !watch) GTEST_SKIP() << watch.error().to_string();
    open(3);
  }

  /// A device whose mirrors have room for this many chunks.
  void open(std::size_t chunks) {
    device_ = value_of(create_null_device(
        std::make_shared<NullDeviceControl>(NullDeviceOptions{.host_kernels = false, .mirror_chunks = chunks})));
  }

  Memory memory(std::size_t size = 3 * kChunk) const {
    return import(Region::create({.reserve = size, .commit = size}));
  }
  Memory thaw(const std::shared_ptr<const Image>& image) const {
    return import(Region::create_over(image, {.reserve = image->size(), .commit = image->size()}));
  }
  Memory import(Result<std::unique_ptr<Region>> region) const {
    Memory memory{value_of(std::move(region)), {}};
    import(memory);
    return memory;
  }
  void import(Memory& memory) const {
    memory.import = value_of(device_->import(*memory.region, {0, memory.region->size()}, Require::any));
  }
  std::shared_ptr<const Image> seal(Memory& memory) const {
    memory.import = Import();
    auto image = value_of(memory.region->seal());
    import(memory);
    return image;
  }
  static void write(Memory& memory, ByteRange range, int value) {
    std::ranges::fill(memory.region->bytes().subspan(range.offset, range.size), static_cast<std::byte>(value));
  }

  MirrorCache& cache() const { return *device_->mirrors(); }
  /// The mirror of all of it, of whose rows the first `valid` bytes are there; a token is appended.
  Result<MirrorCache::Hold> prepare(const Memory& memory, std::size_t valid) const {
    const std::size_t size = memory.region->size();
    return cache().prepare(
        {.memory = &memory.import, .range = {0, size}, .valid = valid, .end = std::min(valid + 100, size)});
  }
  /// Whether the mirror shows what the memory has.
  bool is_right(const Memory& memory, std::size_t valid) const {
    const auto hold = value_of(prepare(memory, valid));
    return std::equal(hold.device(), hold.device() + valid, memory.region->data());
  }

  std::unique_ptr<Device> device_;
};

TEST_F(MirrorCacheTest, RowsThatWereMirroredBeforeASealAreNotTakenForThoseThatWereSealed) {
  Memory first = memory();
  write(first, {0, 3 * kChunk}, 1);
  EXPECT_TRUE(is_right(first, 3 * kChunk));
  // Takes the place of the first one's mirror, and needs less of it.
  Memory second = memory();
  write(second, {0, 100}, 2);
  EXPECT_TRUE(is_right(second, 100));
  EXPECT_EQ(cache().use().evictions, 1);
  write(first, {kChunk, 2 * kChunk}, 3);
  const Memory thawed = thaw(seal(first));
  EXPECT_TRUE(is_right(thawed, 3 * kChunk));
}

TEST_F(MirrorCacheTest, ThePageInWhichARunGoesOnIsNotTakenForWhatItWasAtAnEarlierSeal) {
  const std::size_t page = page_size();
  if (kChunk < 4 * page) GTEST_SKIP() << "pages of " << page << " bytes are too large for the null device's chunks";
  open(2);
  Memory first = memory();
  write(first, {0, kChunk}, 1);
  seal(first);
  // Grows from what was sealed: its last page is the own file's still, and may be written there.
  write(first, {kChunk, 2 * page}, 2);
  EXPECT_TRUE(is_right(first, kChunk + 2 * page));
  seal(first);
  EXPECT_TRUE(is_right(first, kChunk + 2 * page));
  Memory second = memory();
  write(second, {0, 100}, 3);
  EXPECT_TRUE(is_right(second, 100));
  write(first, {kChunk + page, 2 * page}, 4);
  const Memory thawed = thaw(seal(first));
  EXPECT_TRUE(is_right(thawed, kChunk + 2 * page));
}

TEST_F(MirrorCacheTest, AWriteToTheLastPageOfASealedChunkIsSeenByItsWriterAlone) {
  open(8);
  Memory parent = memory();
  write(parent, {0, 3 * kChunk}, 1);
  EXPECT_TRUE(is_right(parent, 2 * kChunk));
  const auto image = seal(parent);
  Memory child = thaw(image);
  EXPECT_TRUE(is_right(child, 2 * kChunk));  // shows the parent's chunks
  write(child, {kChunk - page_size(), 10}, 2);
  EXPECT_TRUE(is_right(child, 2 * kChunk));
  write(parent, {2 * kChunk - page_size(), 10}, 3);
  EXPECT_TRUE(is_right(parent, 2 * kChunk));
  EXPECT_TRUE(is_right(child, 2 * kChunk));
}

TEST_F(MirrorCacheTest, AWriteSendsTheRestOfItsChunkAgainAndNothingElse) {
  open(8);
  Memory memory = this->memory(8 * kChunk);
  write(memory, {0, 8 * kChunk}, 1);
  EXPECT_TRUE(is_right(memory, 7 * kChunk));
  const std::size_t last = kChunk - page_size();
  for (const bool sealed : {false, true}) {
    if (sealed) seal(memory);
    for (const auto& [at, size, sent] : {std::array{std::size_t{0}, std::size_t{1}, kChunk},
                                         {2 * kChunk + last, 1, page_size()},
                                         {3 * kChunk, 2 * kChunk, 2 * kChunk},
                                         {5 * kChunk + last, kChunk, page_size() + kChunk}}) {
      const std::uint64_t before = cache().use().copied_in;
      write(memory, {at, size}, 2 + static_cast<int>(sealed));
      EXPECT_TRUE(is_right(memory, 7 * kChunk)) << at;
      EXPECT_EQ(cache().use().copied_in - before, sent) << at;
    }
  }
}

TEST_F(MirrorCacheTest, WhatIsForgottenAndWhatIsWrittenAreBothSentAgain) {
  open(8);
  Memory memory = this->memory(8 * kChunk);
  write(memory, {0, 8 * kChunk}, 1);
  EXPECT_TRUE(is_right(memory, 7 * kChunk));
  EXPECT_TRUE(is_right(memory, 4 * kChunk));
  write(memory, {kChunk, 10}, 2);
  write(memory, {5 * kChunk, 10}, 3);
  const std::uint64_t before = cache().use().copied_in;
  EXPECT_TRUE(is_right(memory, 6 * kChunk));
  EXPECT_EQ(cache().use().copied_in - before, 3 * kChunk);
}

TEST_F(MirrorCacheTest, BytesThatAreAgainWhatWasSealedAreSeenToo) {
  Memory memory = this->memory();
  write(memory, {0, 2 * kChunk}, 1);
  seal(memory);
  // A page that was copied on write and sealed where it is: whether it changed since is told by comparing.
  write(memory, {0, page_size()}, 2);
  seal(memory);
  for (const int value : {3, 2, 4, 2}) {
    write(memory, {0, page_size()}, value);
    EXPECT_TRUE(is_right(memory, 2 * kChunk)) << value;
  }
}

}  // namespace
}  // namespace driftwood
