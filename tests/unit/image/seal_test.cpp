#include "memory/image.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "image_support.hpp"

namespace driftwood {
namespace {

using testing::Bytes;
using testing::contents;
using ::testing::ElementsAre;
using testing::holds;
using ::testing::IsEmpty;
using testing::make_region;
using testing::open_over;
using testing::pages;
using testing::seal;

TEST(Seal, OutlivesTheRegionThatItWasTakenFrom) {
  auto region = make_region(600);
  std::ranges::fill(region->bytes(), std::byte{3});
  const auto first = seal(*region);
  region->data()[5] = std::byte{4};
  const auto second = seal(*region);
  region.reset();
  EXPECT_EQ(contents(*first), Bytes(600 * page_size(), std::byte{3}));
  Bytes expected(600 * page_size(), std::byte{3});
  expected[5] = std::byte{4};
  EXPECT_EQ(contents(*second), expected);
  EXPECT_TRUE(holds(*open_over(second), expected));
}

TEST(Seal, ChangesAreThePagesThatWereWrittenBetween) {
  const auto region = make_region(64);
  region->data()[0] = std::byte{1};
  const auto before = seal(*region);
  EXPECT_THAT(before->changes_since(*before), IsEmpty());
  region->data()[30 * page_size() + 9] = std::byte{1};
  region->data()[1] = std::byte{2};
  ASSERT_TRUE(region->grow(70 * page_size()));
  region->data()[69 * page_size()] = std::byte{1};
  const auto after = seal(*region);
  EXPECT_THAT(after->changes_since(*before), ElementsAre(pages(0, 1), pages(30, 1), pages(69, 1)));
  EXPECT_THAT(before->changes_since(*after), ElementsAre(pages(0, 1), pages(30, 1), pages(69, 1)));
  EXPECT_THAT(seal(*region)->changes_since(*after), IsEmpty()) << "nothing was written in between";
}

TEST(Seal, SealsShareWhatDidNotChange) {
  const auto region = make_region(1000);
  std::ranges::fill(region->bytes(), std::byte{1});
  const auto before = seal(*region);
  EXPECT_EQ(*region->written_bytes(), 0u);
  region->data()[500 * page_size()] = std::byte{2};
  EXPECT_EQ(*region->written_bytes(), page_size());
  const auto after = seal(*region);
  EXPECT_EQ(before->extents().front().view(), after->extents().front().view());
}

TEST(Seal, PagesWrittenBeforeEverySealAreInEachImageAsTheyWereThen) {
  const auto region = make_region(200);
  std::ranges::fill(region->bytes(), std::byte{1});
  Bytes expected(200 * page_size(), std::byte{1});
  std::vector<std::pair<std::shared_ptr<const Image>, Bytes>> kept;
  for (int turn = 0; turn < 12; ++turn) {
    // Three pages change at each turn, one at every second, one once, and one is written as it was.
    for (const std::size_t page : {20, 21, 60, turn % 2 == 0 ? 22 : 20, 100 + turn}) {
      expected[page * page_size() + 5] = region->data()[page * page_size() + 5] = std::byte(2 + turn);
    }
    region->data()[150 * page_size()] = std::byte{1};
    auto image = seal(*region);
    ASSERT_TRUE(holds(*region, expected));
    if (turn % 3 != 1) kept.emplace_back(std::move(image), expected);
    for (const auto& [old, bytes] : kept) ASSERT_EQ(contents(*old), bytes) << "turn " << turn;
  }
  EXPECT_TRUE(holds(*open_over(kept.back().first), expected));
}

TEST(Seal, CopiesOfPagesWrittenBeforeEverySealTakeTurnsInTheSamePlaces) {
  const auto region = make_region(100);
  std::ranges::fill(region->bytes(), std::byte{1});
  seal(*region);
  std::set<const std::byte*> places;
  for (int turn = 0; turn < 30; ++turn) {
    region->data()[50 * page_size()] = std::byte(turn);
    const auto image = seal(*region);
    const auto extent = std::ranges::find(image->extents(), pages(50, 1), &Extent::range);
    ASSERT_NE(extent, image->extents().end());
    places.insert(extent->view());
  }
  EXPECT_LE(places.size(), 3u);
}

TEST(Seal, PageWrittenAsItWasSealedIsNotAChange) {
  const auto region = make_region(10);
  std::ranges::fill(region->bytes(), std::byte{1});
  seal(*region);
  region->data()[3 * page_size()] = std::byte{2};
  const auto before = seal(*region);
  region->data()[3 * page_size()] = std::byte{2};
  EXPECT_EQ(*region->written_bytes(), 0u);
  EXPECT_THAT(seal(*region)->changes_since(*before), IsEmpty());
}

TEST(Seal, ManyPagesThatWereWrittenOnceAreGivenBack) {
  const auto region = make_region(3000);
  std::ranges::fill(region->bytes(), std::byte{1});
  Bytes expected(region->size(), std::byte{1});
  seal(*region);
  for (std::size_t page = 0; page < 3000; page += 100) {
    expected[page * page_size()] = region->data()[page * page_size()] = std::byte{2};
  }
  const auto written = seal(*region);
  const auto later = seal(*region);
  EXPECT_TRUE(holds(*region, expected));
  EXPECT_THAT(later->changes_since(*written), IsEmpty());
  region->data()[100 * page_size()] = std::byte{3};
  EXPECT_EQ(contents(*later), expected);
  EXPECT_EQ(*region->written_bytes(), page_size());
}

TEST(Seal, GoesAwayOnAnyThreadWhileItsRegionIsSealed) {
  const auto region = make_region(64);
  std::ranges::fill(region->bytes(), std::byte{1});
  std::mutex mutex;
  std::vector<std::pair<std::shared_ptr<const Image>, std::byte>> passed;
  std::atomic<bool> done = false;
  std::thread reader([&] {
    for (bool last = false; !last;) {
      last = done;
      std::vector<std::pair<std::shared_ptr<const Image>, std::byte>> taken;
      {
        const std::lock_guard lock(mutex);
        taken.swap(passed);
      }
      for (const auto& [image, value] : taken) {
        Bytes page(page_size());
        image->read(pages(30, 1), page);
        EXPECT_EQ(page, Bytes(page_size(), value));
      }
    }
  });
  for (int turn = 0; turn < 300; ++turn) {
    const auto value = std::byte(turn);
    std::memset(region->data() + 30 * page_size(), turn, page_size());
    auto image = seal(*region);
    const std::lock_guard lock(mutex);
    passed.emplace_back(std::move(image), value);
  }
  done = true;
  reader.join();
}

TEST(Seal, NeverWrittenPagesTakeNoExtent) {
  const auto region = make_region(2000);
  region->data()[1000 * page_size()] = std::byte{1};
  const auto image = seal(*region);
#ifdef __linux__
  ASSERT_EQ(image->extents().size(), 1u);
  EXPECT_EQ(image->extents()[0].range, pages(1000, 1));
#endif
  // And they are still the Region's own: written now, they are sealed without being copied.
  region->data()[1500 * page_size()] = std::byte{2};
  const auto next = seal(*region);
  Bytes byte(1);
  next->read({1500 * page_size(), 1}, byte);
  EXPECT_EQ(byte[0], std::byte{2});
}

TEST(Seal, ManySealsKeepTheNumberOfExtentsBounded) {
  const auto region = make_region(4000);
  Bytes expected(4000 * page_size());
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    const std::size_t at = random() % expected.size();
    expected[at] = region->data()[at] = std::byte(1 + random() % 255);
    const auto image = seal(*region);
    ASSERT_LE(image->extents().size(), 32u);
    if (i % 50 == 49) {
      ASSERT_EQ(contents(*image), expected);
    }
  }
  EXPECT_TRUE(holds(*region, expected));
}

/// Writes rows of odd length one after another, as a Context grows, and the first page, as a guest does at each turn.
class GrowingRegion {
 public:
  void turn(std::size_t rows) {
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t at = kFirst + written_++ * kRow;
      std::memset(bytes_.data() + at, static_cast<int>(written_ % 256), kRow);
      std::memcpy(region_->data() + at, bytes_.data() + at, kRow);
    }
    bytes_[9] = region_->data()[9] = std::byte(written_);
  }
  /// Looks at the rows only: where nothing was written, a look makes pages.
  bool holds() const { return std::memcmp(region_->data() + kFirst, bytes_.data() + kFirst, written_ * kRow) == 0; }
  ByteRange rows() const { return {kFirst, written_ * kRow}; }
  Region& region() { return *region_; }
  const Bytes& bytes() const { return bytes_; }

 private:
  static constexpr std::size_t kPages = 4000;
  static constexpr std::size_t kFirst = 64 * 4096 + 256;
  static constexpr std::size_t kRow = 7001;

  std::unique_ptr<Region> region_ = make_region(kPages, kPages);
  Bytes bytes_ = Bytes(kPages * page_size());
  std::size_t written_ = 0;
};

TEST(Seal, RowsThatGrowStayInOnePieceInFewExtentsWhereTheyWereWritten) {
  GrowingRegion growing;
  growing.turn(200);
  std::vector<std::pair<std::shared_ptr<const Image>, Bytes>> kept;
  kept.emplace_back(seal(growing.region()), growing.bytes());
  for (const Extent& extent : kept.front().first->extents()) {
    ASSERT_NE(extent.layer->memory_file(), nullptr) << "what is sealed for the first time is not copied";
  }
  for (int turn = 0; turn < 100; ++turn) {
    growing.turn(turn % 7 == 0 ? 100 : 1 + static_cast<std::size_t>(turn % 3));
    const auto image = seal(growing.region());
    ASSERT_TRUE(growing.holds());
    ASSERT_LE(image->extents().size(), 12u) << "turn " << turn;
    // Copied are what is written in place and two pages of rows: where the second seal began, and where the next will.
    std::size_t copied = 0;
    for (const Extent& extent : image->extents()) {
      if (extent.layer->memory_file() == nullptr) copied += extent.range.size;
    }
    ASSERT_LE(copied, 3 * page_size()) << "turn " << turn;
    const auto changes = image->changes_since(*kept.back().first);
    if (turn % 5 == 0) kept.emplace_back(image, growing.bytes());
    if (turn % 5 == 1 && turn % 7 != 0) {
      ASSERT_EQ(changes.size(), 2u);
      EXPECT_EQ(changes[0], pages(0, 1));
      EXPECT_LE(changes[1].size, 3 * 7001 + 2 * page_size());
    }
  }
  const auto pieces = growing.region().clean_pieces(growing.rows());
  if (!pieces.empty()) {
    EXPECT_LE(pieces.size(), 4u) << "sealed turn by turn, and read as one";
  }
  for (const auto& [image, bytes] : kept) {
    ASSERT_TRUE(holds(*image, bytes));
    ASSERT_TRUE(holds(*open_over(image), bytes));
  }
}

TEST(Seal, PageInWhichRowsGoOnIsWrittenByTheirRegionAlone) {
  GrowingRegion growing;
  growing.turn(100);
  seal(growing.region());
  growing.turn(100);
  const auto image = seal(growing.region());
  const Bytes then = growing.bytes();
  const auto child = open_over(image);
  growing.turn(1);
  EXPECT_TRUE(holds(*image, then));
  EXPECT_TRUE(holds(*child, then));
  EXPECT_EQ(*growing.region().written_bytes(growing.rows()), 3 * page_size());
}

TEST(Seal, FarApartWritesAreFlattenedWithoutTheLargePiecesBetween) {
  const auto region = make_region(4000);
  std::ranges::fill(region->bytes(), std::byte{1});
  Bytes expected(region->size(), std::byte{1});
  seal(*region);
  for (std::size_t turn = 0; turn < 40; ++turn) {
    const std::size_t page = turn < 20 ? 20 * turn : 3980 - 20 * (turn - 20);
    expected[page * page_size()] = region->data()[page * page_size()] = std::byte{2};
    const auto image = seal(*region);
    ASSERT_TRUE(holds(*image, expected));
    const auto large = std::ranges::max_element(image->extents(), {}, [](const Extent& e) { return e.range.size; });
    ASSERT_GE(large->range.size, 3000 * page_size());
    ASSERT_NE(large->layer->memory_file(), nullptr) << "copied in turn " << turn;
  }
}

TEST(Seal, SealIsRefusedUnderALivePin) {
  const auto region = make_region(2);
  auto pin = region->pin({0, 1});
  ASSERT_TRUE(pin);
  const auto sealed = region->seal();
  ASSERT_FALSE(sealed);
  EXPECT_EQ(sealed.error().code, ErrorCode::unavailable);
  *pin = Pin();
  EXPECT_TRUE(region->seal());
}
}  // namespace
}  // namespace driftwood
