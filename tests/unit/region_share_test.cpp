// What another process maps of a Region is what the Region holds, whatever was written, sealed and forked before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "memory/region.hpp"

namespace driftwood {
namespace {

using Bytes = std::vector<std::byte>;

std::unique_ptr<Region> make_region(std::size_t pages) {
  return Region::create({.reserve = 256 * page_size(), .commit = pages * page_size()}).value();
}

ByteRange pages(std::size_t first, std::size_t count) { return {first * page_size(), count * page_size()}; }

/// The pieces as another process maps them: sealed ones copy-on-write.
class Elsewhere {
 public:
  Elsewhere(const Region::Shared& shared, ByteRange range) : range_(range) {
    base_ = static_cast<std::byte*>(mmap(nullptr, range.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    std::size_t next = range.offset;
    for (const Region::SharedPiece& piece : shared.pieces) {
      EXPECT_EQ(piece.range.offset, next) << "pieces lie one after another";
      next += piece.range.size;
      void* const at =
          mmap(base_ + (piece.range.offset - range.offset), piece.range.size, PROT_READ | PROT_WRITE,
               MAP_FIXED | (piece.sealed ? MAP_PRIVATE : MAP_SHARED), piece.fd, static_cast<off_t>(piece.file_offset));
      EXPECT_NE(at, MAP_FAILED);
    }
    EXPECT_EQ(next, range.offset + range.size) << "and are the whole range";
  }
  ~Elsewhere() { munmap(base_, range_.size); }
  Elsewhere(const Elsewhere&) = delete;
  Elsewhere& operator=(const Elsewhere&) = delete;

  std::byte* at(std::size_t region_offset) { return base_ + (region_offset - range_.offset); }
  bool equals(const Region& region) { return std::memcmp(base_, region.data() + range_.offset, range_.size) == 0; }

 private:
  ByteRange range_;
  std::byte* base_;
};

Region::Shared share(Region& region, ByteRange range, const std::vector<ByteRange>& writes = {}) {
  auto shared = region.share(range, writes);
  EXPECT_TRUE(shared) << shared.error().to_string();
  return *std::move(shared);
}

TEST(RegionShare, FreshPagesAreSharedBothWaysWithoutAMove) {
  const auto region = make_region(8);
  Elsewhere other(share(*region, pages(0, 8)), pages(0, 8));
  region->data()[5] = std::byte{1};
  *other.at(3 * page_size()) = std::byte{2};
  EXPECT_EQ(*other.at(5), std::byte{1});
  EXPECT_EQ(region->data()[3 * page_size()], std::byte{2});
}

TEST(RegionShare, CleanPagesOfAnImageStayTheImages) {
  const auto parent = make_region(64);
  std::ranges::fill(parent->bytes(), std::byte{7});
  const auto image = parent->seal().value();
  const auto child = Region::create_over(image, {.reserve = 64 * page_size(), .commit = 64 * page_size()}).value();
  const Region::Shared shared = share(*child, pages(0, 64), {pages(40, 1)});
  std::size_t sealed = 0;
  for (const auto& piece : shared.pieces) sealed += piece.sealed ? piece.range.size : 0;
  EXPECT_EQ(sealed, 63 * page_size()) << "only what is to be written moves";
  Elsewhere other(shared, pages(0, 64));
  EXPECT_TRUE(other.equals(*child));
  *other.at(40 * page_size() + 1) = std::byte{9};
  EXPECT_EQ(child->data()[40 * page_size() + 1], std::byte{9});
  EXPECT_EQ(parent->data()[40 * page_size() + 1], std::byte{7});
}

TEST(RegionShare, PagesWrittenSinceTheSealAreSeenElsewhere) {
  const auto region = make_region(64);
  std::ranges::fill(region->bytes(), std::byte{1});
  ASSERT_TRUE(region->seal());
  region->data()[10 * page_size()] = std::byte{2};
  Elsewhere before(share(*region, pages(0, 64)), pages(0, 64));
  EXPECT_EQ(*before.at(10 * page_size()), std::byte{2});
  region->data()[10 * page_size()] = std::byte{3};
  EXPECT_EQ(*before.at(10 * page_size()), std::byte{3}) << "a page that moved goes on being shared";
}

TEST(RegionShare, VersionChangesOnlyWhenPagesWereMappedAnew) {
  const auto region = make_region(64);
  std::ranges::fill(region->bytes(), std::byte{1});
  ASSERT_TRUE(region->seal());
  region->data()[3 * page_size()] = std::byte{2};
  const auto first = share(*region, pages(0, 64)).version;
  region->data()[3 * page_size()] = std::byte{4};
  EXPECT_EQ(share(*region, pages(0, 64)).version, first);
  region->data()[50 * page_size()] = std::byte{2};
  EXPECT_NE(share(*region, pages(0, 64)).version, first);
}

TEST(RegionShare, RangesThatAreNotCommittedAreRefused) {
  const auto region = make_region(4);
  for (const ByteRange& range : {ByteRange{0, 0}, pages(3, 2), pages(5, 1), ByteRange{SIZE_MAX, 2}}) {
    const auto shared = region->share(range, {});
    ASSERT_FALSE(shared);
    EXPECT_EQ(shared.error().code, ErrorCode::invalid_argument);
  }
}

/// A Region beside what it must hold, and the Images taken of it beside what they must hold.
class Walk {
 public:
  explicit Walk(unsigned seed) : random_(seed), region_(make_region(kPages)), model_(kPages * page_size()) {}

  void step() {
    switch (random_() % 9) {
      case 8: append(); break;
      case 0: seal(); break;
      case 1: fork(); break;
      case 2: share_and_compute(); break;
      case 3: share_and_compute(); break;
      default: write(random_() % kPages, 1 + random_() % 4);
    }
    ASSERT_EQ(std::memcmp(region_->data(), model_.data(), model_.size()), 0);
  }
  void check_images() {
    for (const auto& [image, bytes] : images_) {
      Bytes held(image->size());
      image->read({0, held.size()}, held);
      ASSERT_TRUE(held == bytes) << "an Image changed";
    }
  }

 private:
  static constexpr std::size_t kPages = 96;

  void write(std::size_t page, std::size_t count) {
    for (std::size_t i = page; i < std::min(page + count, kPages); ++i) {
      const std::size_t at = i * page_size() + random_() % page_size();
      region_->data()[at] = model_[at] = static_cast<std::byte>(random_());
    }
  }
  void append() {
    const std::size_t count = 1 + random_() % 30;
    write(end_, count);
    end_ = std::min(end_ + count, kPages);
  }
  void seal() {
    const auto image = region_->seal();
    ASSERT_TRUE(image) << image.error().to_string();
    images_.emplace_back(*image, model_);
  }
  void fork() {
    if (images_.empty()) return;
    const auto& [image, bytes] = images_[random_() % images_.size()];
    region_ = Region::create_over(image, {.reserve = 256 * page_size(), .commit = kPages * page_size()}).value();
    model_ = bytes;
  }
  /// What a device in another process does: reads all of a range, and writes some of it.
  void share_and_compute() {
    const std::size_t first = random_() % kPages;
    const ByteRange range = pages(first, 1 + random_() % (kPages - first));
    std::vector<ByteRange> writes;
    for (auto i = random_() % 3; i > 0; --i) {
      const std::size_t at = range.offset + random_() % range.size;
      writes.push_back({at, std::min<std::size_t>(1 + random_() % 9000, range.offset + range.size - at)});
    }
    Elsewhere other(share(*region_, range, writes), range);
    ASSERT_TRUE(other.equals(*region_));
    for (const ByteRange& written : writes) {
      for (std::size_t i = written.offset; i < written.offset + written.size; i += 1 + random_() % 512) {
        *other.at(i) = model_[i] = static_cast<std::byte>(random_());
      }
    }
    ASSERT_TRUE(other.equals(*region_)) << "what was written elsewhere is written here";
  }

  std::mt19937 random_;
  std::unique_ptr<Region> region_;
  Bytes model_;
  std::size_t end_ = 0;  ///< pages that were appended
  std::vector<std::pair<std::shared_ptr<const Image>, Bytes>> images_;
};

TEST(RegionShare, HoldsThroughAnyOrderOfWritesSealsForksAndComputations) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Walk walk(seed);
    for (int i = 0; i < 150; ++i) {
      walk.step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    walk.check_images();
  }
}

}  // namespace
}  // namespace driftwood
