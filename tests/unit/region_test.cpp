#include "memory/region.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace driftwood {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::unique_ptr<Region> make_region(std::size_t reserve_pages, std::size_t commit_pages, std::size_t guard_pages = 1) {
  auto region = Region::create({.reserve = reserve_pages * page_size(),
                                .commit = commit_pages * page_size(),
                                .guard = guard_pages * page_size()});
  EXPECT_TRUE(region) << region.error().to_string();
  return region ? std::move(*region) : nullptr;
}

std::shared_ptr<MemoryFile> make_file(std::size_t pages) {
  auto file = MemoryFile::create(pages * page_size());
  EXPECT_TRUE(file) << file.error().to_string();
  return file ? std::move(*file) : nullptr;
}

/// An image whose byte at offset i is i * 7 + 1.
std::shared_ptr<const Image> make_image(std::size_t pages) {
  const auto region = make_region(pages, pages);
  for (std::size_t i = 0; i < region->size(); ++i) region->data()[i] = std::byte(i * 7 + 1);
  auto image = region->seal();
  EXPECT_TRUE(image) << image.error().to_string();
  return image ? *image : nullptr;
}

bool is_image_byte(std::size_t i, std::byte value) { return value == std::byte(i * 7 + 1); }

std::string failure(const Result<void>& result) { return result ? "no failure" : result.error().message; }

TEST(Region, IsZeroAtFirstAndHoldsWhatIsWritten) {
  const auto region = make_region(4, 2);
  EXPECT_EQ(region->size(), 2 * page_size());
  EXPECT_EQ(region->reserved(), 4 * page_size());
  EXPECT_TRUE(std::ranges::all_of(region->bytes(), [](std::byte b) { return b == std::byte{0}; }));
  region->bytes().back() = std::byte{42};
  EXPECT_EQ(region->data()[region->size() - 1], std::byte{42});
}

TEST(Region, GrowKeepsItsBaseAddressAndItsBytes) {
  const auto region = make_region(1024, 1);
  std::byte* const base = region->data();
  base[0] = std::byte{1};
  base[page_size() - 1] = std::byte{2};
  for (const std::size_t pages : {1, 2, 3, 700, 1024}) {
    ASSERT_TRUE(region->grow(pages * page_size()));
    EXPECT_EQ(region->data(), base);
    EXPECT_EQ(region->size(), pages * page_size());
    EXPECT_EQ(base[0], std::byte{1});
    EXPECT_EQ(base[page_size() - 1], std::byte{2});
  }
}

TEST(Region, CommitsNothingUntilItIsAsked) {
  const auto region = make_region(16, 0);
  EXPECT_EQ(region->size(), 0u);
  EXPECT_TRUE(region->bytes().empty());
  ASSERT_TRUE(region->grow(page_size()));
  region->data()[0] = std::byte{1};
}

TEST(Region, SizesThatAreWrongSayHow) {
  const std::size_t page = page_size();
  const auto message = [](const RegionOptions& options) {
    const auto region = Region::create(options);
    EXPECT_FALSE(region);
    if (region) return std::string("no failure");
    EXPECT_EQ(region.error().code, ErrorCode::invalid_argument);
    return region.error().message;
  };
  const std::string page_text = "(" + std::to_string(page) + ")";
  EXPECT_EQ(message({}), "Region reservation (0) is not at least one page " + page_text + ".");
  EXPECT_EQ(message({.reserve = 70001}),
            "Region reservation (70001) is not a multiple of the page size " + page_text + ".");
  EXPECT_EQ(message({.reserve = page, .commit = 1}),
            "Region size (1) is not a multiple of the page size " + page_text + ".");
  EXPECT_EQ(message({.reserve = page, .guard = 7}),
            "Region guard (7) is not a multiple of the page size " + page_text + ".");
  EXPECT_THAT(message({.reserve = page, .commit = 2 * page}), HasSubstr("is more than its reservation " + page_text));
}

TEST(Region, GrowthThatIsWrongSaysHowAndChangesNothing) {
  const auto region = make_region(4, 2);
  const auto misaligned = region->grow(3 * page_size() - 1);
  const auto shrinking = region->grow(page_size());
  const auto beyond = region->grow(5 * page_size());
  ASSERT_FALSE(misaligned || shrinking || beyond);
  EXPECT_EQ(misaligned.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(failure(misaligned), HasSubstr("is not a multiple of the page size"));
  EXPECT_EQ(shrinking.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(failure(shrinking), HasSubstr("a Region only grows"));
  EXPECT_EQ(beyond.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(failure(beyond), HasSubstr("is more than its reservation (" + std::to_string(4 * page_size()) + ")"));
  EXPECT_EQ(region->size(), 2 * page_size());
}

TEST(Region, ReservationThatDoesNotFitIsOutOfMemory) {
  const std::size_t huge = SIZE_MAX - page_size() + 1;
  for (const RegionOptions& options : {RegionOptions{.reserve = huge}, RegionOptions{.reserve = huge, .guard = huge},
                                       RegionOptions{.reserve = std::size_t{1} << 60}}) {
    const auto region = Region::create(options);
    ASSERT_FALSE(region);
    EXPECT_EQ(region.error().code, ErrorCode::out_of_memory) << region.error().message;
  }
}

TEST(Region, AgreesWithAPlainVectorUnderRandomUse) {
  for (const bool copy_on_write : {false, true}) {
    for (unsigned seed = 0; seed < 20; ++seed) {
      SCOPED_TRACE(testing::Message() << "copy_on_write " << copy_on_write << ", seed " << seed);
      constexpr std::size_t kReserve = 64;
      std::mt19937 random(seed);
      const auto pick = [&random](std::size_t below) { return random() % below; };

      std::unique_ptr<Region> region;
      std::vector<std::byte> model;
      if (copy_on_write) {
        const std::size_t image_pages = 1 + pick(4);
        auto created = Region::create_over(make_image(image_pages), {.reserve = kReserve * page_size(),
                                                                     .commit = (image_pages + pick(2)) * page_size()});
        ASSERT_TRUE(created);
        region = std::move(*created);
        model.resize(region->size());
        for (std::size_t i = 0; i < image_pages * page_size(); ++i) model[i] = std::byte(i * 7 + 1);
      } else {
        region = make_region(kReserve, 1);
        model.resize(page_size());
      }

      std::vector<Pin> pins;
      for (int step = 0; step < 300; ++step) {
        const std::size_t offset = pick(model.size());
        const std::size_t size = 1 + pick(std::min(model.size() - offset, 3 * page_size()));
        switch (pick(6)) {
          case 0: {
            const std::size_t pages = pick(kReserve + 8);
            const bool fits = pages * page_size() >= model.size() && pages <= kReserve;
            ASSERT_EQ(region->grow(pages * page_size()).has_value(), fits);
            if (fits) model.resize(pages * page_size());
            break;
          }
          case 1: {
            const auto value = std::byte(pick(256));
            std::memset(region->data() + offset, static_cast<int>(value), size);
            std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(offset), size, value);
            break;
          }
          case 2: {
            ASSERT_EQ(std::memcmp(region->data() + offset, model.data() + offset, size), 0);
            break;
          }
          case 3: {
            auto pin = region->pin({offset, size});
            ASSERT_TRUE(pin);
            pins.push_back(std::move(*pin));
            break;
          }
          case 4: {
            if (pins.empty()) break;
            pins.erase(pins.begin() + static_cast<std::ptrdiff_t>(pick(pins.size())));
            break;
          }
          case 5: {
            const ByteRange range{offset, size};
            const auto expected =
                std::ranges::count_if(pins, [&](const Pin& pin) { return pin.range().overlaps(range); });
            ASSERT_EQ(region->pins(range), static_cast<std::size_t>(expected));
            break;
          }
        }
        ASSERT_EQ(region->size(), model.size());
      }
      ASSERT_EQ(std::memcmp(region->data(), model.data(), model.size()), 0);
    }
  }
}

TEST(Region, OwnsItsPagesUntilTheyAreSealedAndThoseThatWereWrittenSince) {
  const auto region = make_region(8, 8);
  const std::size_t page = page_size();
  using Ranges = std::vector<ByteRange>;
  EXPECT_EQ(region->owned({0, 8 * page}), (Ranges{{0, 8 * page}}));
  std::ranges::fill(region->bytes().first(4 * page), std::byte{1});
  ASSERT_TRUE(region->seal());
  EXPECT_EQ(region->owned({0, 8 * page}), (Ranges{{4 * page, 4 * page}}));
  region->data()[page] = std::byte{2};
  EXPECT_EQ(region->owned({0, 4 * page}), (Ranges{{page, page}}));
  ASSERT_TRUE(region->seal());
  EXPECT_EQ(region->owned({0, 4 * page}), (Ranges{{page, page}})) << "it was copied where it is";
}

TEST(CopyOnWriteRegion, StartsAsItsImageAndReadsZeroBeyond) {
  const auto image = make_image(3);
  const auto region = Region::create_over(image, {.reserve = 8 * page_size(), .commit = 4 * page_size()});
  ASSERT_TRUE(region);
  ASSERT_TRUE((*region)->grow(6 * page_size()));
  const std::span<const std::byte> bytes = (*region)->bytes();
  for (std::size_t i = 0; i < image->size(); ++i) ASSERT_TRUE(is_image_byte(i, bytes[i])) << i;
  for (std::size_t i = image->size(); i < bytes.size(); ++i) ASSERT_EQ(bytes[i], std::byte{0}) << i;
}

TEST(CopyOnWriteRegion, ChildrenSeeNeitherEachOthersWritesNorChangeTheImage) {
  const auto image = make_image(2);
  const RegionOptions options{.reserve = 4 * page_size(), .commit = 2 * page_size()};
  const auto first = Region::create_over(image, options);
  const auto second = Region::create_over(image, options);
  ASSERT_TRUE(first && second);
  std::ranges::fill((*first)->bytes(), std::byte{0xaa});
  (*second)->data()[page_size()] = std::byte{0xbb};
  ASSERT_TRUE((*first)->grow(3 * page_size()));
  ASSERT_TRUE((*second)->grow(3 * page_size()));
  (*first)->bytes().back() = std::byte{0xcc};

  EXPECT_TRUE(is_image_byte(0, (*second)->data()[0]));
  EXPECT_EQ((*second)->bytes().back(), std::byte{0});
  EXPECT_EQ((*first)->data()[page_size()], std::byte{0xaa});
  const auto third = Region::create_over(image, options);
  ASSERT_TRUE(third);
  for (std::size_t i = 0; i < image->size(); ++i) ASSERT_TRUE(is_image_byte(i, (*third)->data()[i])) << i;
}

TEST(CopyOnWriteRegion, OutlivesTheCallersHoldOfItsImage) {
  auto image = make_image(1);
  const auto region = Region::create_over(std::move(image), {.reserve = page_size(), .commit = page_size()});
  ASSERT_TRUE(region);
  EXPECT_TRUE(is_image_byte(100, (*region)->data()[100]));
}

TEST(CopyOnWriteRegion, SmallerThanItsImageIsRefused) {
  const auto region = Region::create_over(make_image(2), {.reserve = 4 * page_size(), .commit = page_size()});
  ASSERT_FALSE(region);
  EXPECT_EQ(region.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(region.error().message, HasSubstr("is less than its image's (" + std::to_string(2 * page_size()) + ")"));
}

TEST(Pin, HoldsItsRangeUntilItDies) {
  const auto region = make_region(4, 4);
  const ByteRange range{page_size(), page_size()};
  {
    const auto pin = region->pin(range);
    ASSERT_TRUE(pin);
    EXPECT_EQ(pin->range(), range);
    EXPECT_EQ(region->pins({0, region->size()}), 1u);
    EXPECT_EQ(region->pins({2 * page_size() - 1, 1}), 1u);
    EXPECT_EQ(region->pins({0, page_size()}), 0u) << "the byte before it is free";
    EXPECT_EQ(region->pins({2 * page_size(), 1}), 0u) << "the byte after it is free";
  }
  EXPECT_EQ(region->pins({0, region->size()}), 0u);
}

TEST(Pin, MovesWithoutReleasing) {
  const auto region = make_region(2, 2);
  const ByteRange all{0, region->size()};
  auto first = region->pin({0, 10});
  auto second = region->pin({0, 20});
  ASSERT_TRUE(first && second);
  Pin moved = std::move(*first);
  EXPECT_TRUE(moved);
  EXPECT_FALSE(*first);
  EXPECT_EQ(region->pins(all), 2u);
  moved = std::move(*second);
  EXPECT_EQ(region->pins(all), 1u) << "the pin that was assigned over is released";
  EXPECT_EQ(moved.range().size, 20u);
  moved = Pin();
  EXPECT_EQ(region->pins(all), 0u);
}

TEST(Pin, NeedsCommittedBytes) {
  const auto region = make_region(4, 2);
  for (const ByteRange& range : {ByteRange{0, 0}, ByteRange{0, 2 * page_size() + 1}, ByteRange{2 * page_size(), 1},
                                 ByteRange{SIZE_MAX, 2}, ByteRange{1, SIZE_MAX}}) {
    const auto pin = region->pin(range);
    ASSERT_FALSE(pin);
    EXPECT_EQ(pin.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(pin.error().message,
                AllOf(HasSubstr(std::to_string(range.size) + " bytes at offset " + std::to_string(range.offset)),
                      HasSubstr("within the Region's bytes (" + std::to_string(2 * page_size()) + ")")));
  }
  EXPECT_EQ(region->pins({0, 2 * page_size()}), 0u);
}

TEST(Region, GrowsAndPinsFromManyThreadsAtOnce) {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kPages = 256;
  const auto region = make_region(kPages, 1);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&region, t] {
      for (std::size_t page = 1; page <= kPages; ++page) {
        // Another thread may be ahead, which makes this a shrink.
        static_cast<void>(region->grow(page * page_size()));
        ASSERT_GE(region->size(), page * page_size());
        region->data()[(page - 1) * page_size() + t] = std::byte(t + 1);
        const auto pin = region->pin({(page - 1) * page_size(), page_size()});
        ASSERT_TRUE(pin);
        ASSERT_GE(region->pins({(page - 1) * page_size(), 1}), 1u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(region->size(), kPages * page_size());
  EXPECT_EQ(region->pins({0, region->size()}), 0u);
  for (std::size_t page = 0; page < kPages; ++page) {
    for (std::size_t t = 0; t < kThreads; ++t) {
      ASSERT_EQ(region->data()[page * page_size() + t], std::byte(t + 1)) << page;
    }
  }
}

TEST(MemoryFile, OnlyGrowsAndOnlyToItsCapacity) {
  const auto file = MemoryFile::create(page_size(), 4 * page_size());
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->size(), page_size());
  EXPECT_EQ((*file)->capacity(), 4 * page_size());
  EXPECT_TRUE((*file)->resize(4 * page_size()));
  for (const std::size_t size : {3 * page_size(), 5 * page_size()}) {
    const auto resized = (*file)->resize(size);
    ASSERT_FALSE(resized);
    EXPECT_EQ(resized.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(resized.error().message, HasSubstr("(" + std::to_string(size) + ")"));
  }
  EXPECT_EQ((*file)->size(), 4 * page_size());
}

TEST(MemoryFile, SizesThatAreWrongAreErrors) {
  const auto too_large = MemoryFile::create(SIZE_MAX);
  ASSERT_FALSE(too_large);
  EXPECT_EQ(too_large.error().code, ErrorCode::out_of_memory);
  const auto above_capacity = MemoryFile::create(2, 1);
  ASSERT_FALSE(above_capacity);
  EXPECT_EQ(above_capacity.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(make_file(0), nullptr);
}

}  // namespace
}  // namespace driftwood
