#include "memory/image.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <fstream>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "memory/region.hpp"

namespace driftwood {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Bytes = std::vector<std::byte>;

std::unique_ptr<Region> make_region(std::size_t pages, std::size_t reserve_pages = 4096) {
  auto region = Region::create({.reserve = reserve_pages * page_size(), .commit = pages * page_size()});
  EXPECT_TRUE(region) << region.error().to_string();
  return region ? std::move(*region) : nullptr;
}

std::shared_ptr<const Image> seal(Region& region) {
  auto image = region.seal();
  EXPECT_TRUE(image) << image.error().to_string();
  return image ? *image : nullptr;
}

std::unique_ptr<Region> open_over(std::shared_ptr<const Image> image, std::size_t reserve_pages = 4096) {
  const std::size_t size = image->size();
  auto region = Region::create_over(std::move(image), {.reserve = reserve_pages * page_size(), .commit = size});
  EXPECT_TRUE(region) << region.error().to_string();
  return region ? std::move(*region) : nullptr;
}

Bytes contents(const Image& image) {
  Bytes bytes(image.size());
  image.read({0, bytes.size()}, bytes);
  return bytes;
}

bool holds(const Region& region, const Bytes& expected) {
  return region.size() == expected.size() && std::memcmp(region.data(), expected.data(), expected.size()) == 0;
}

/// The same of large ones, byte by byte being slow where sanitizers watch.
bool holds(const Image& image, const Bytes& expected) {
  const Bytes held = contents(image);
  return held.size() == expected.size() && std::memcmp(held.data(), expected.data(), held.size()) == 0;
}

/// Pages [first, first + count) as a byte range.
ByteRange pages(std::size_t first, std::size_t count) { return {first * page_size(), count * page_size()}; }

TEST(Image, HoldsItsPiecesAndZerosElsewhere) {
  const Bytes low(10, std::byte{1});
  const Bytes high(page_size() + 5, std::byte{2});
  const std::size_t at = 40 * page_size() + 3;
  const auto image = Image::create(64 * page_size(), std::vector<Image::Piece>{{7, low}, {at, high}});
  ASSERT_TRUE(image);
  Bytes expected(64 * page_size());
  std::ranges::copy(low, expected.begin() + 7);
  std::ranges::copy(high, expected.begin() + static_cast<std::ptrdiff_t>(at));
  EXPECT_EQ(contents(**image), expected);
  EXPECT_EQ((*image)->extents().size(), 2u) << "what is zero takes no extent";
  EXPECT_TRUE(holds(*open_over(*image), expected));
}

TEST(Image, LaterPieceCoversAnEarlierOne) {
  const Bytes first(10, std::byte{1});
  const Bytes second(4, std::byte{2});
  const auto image = Image::create(page_size(), std::vector<Image::Piece>{{0, first}, {3, second}});
  ASSERT_TRUE(image);
  Bytes start(10);
  (*image)->read({0, 10}, start);
  EXPECT_EQ(start, (Bytes{std::byte{1}, std::byte{1}, std::byte{1}, std::byte{2}, std::byte{2}, std::byte{2},
                          std::byte{2}, std::byte{1}, std::byte{1}, std::byte{1}}));
}

TEST(Image, PieceOutsideItIsRefused) {
  const Bytes bytes(2);
  const auto image = Image::create(page_size(), std::vector<Image::Piece>{{page_size() - 1, bytes}});
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(image.error().message, HasSubstr("2 bytes at " + std::to_string(page_size() - 1)));
}

TEST(Image, ExtentsOutOfOrderOrBeyondTheirLayerAreRefused) {
  const Bytes bytes(2 * page_size(), std::byte{1});
  const auto image = Image::create(2 * page_size(), std::vector<Image::Piece>{{0, bytes}});
  ASSERT_TRUE(image);
  const auto layer = (*image)->extents()[0].layer;
  const std::size_t size = 4 * page_size();
  EXPECT_TRUE(Image::compose(size, {{pages(0, 1), layer, 0}, {pages(1, 1), layer, 0}}));
  EXPECT_FALSE(Image::compose(size, {{pages(1, 1), layer, 0}, {pages(0, 1), layer, 0}}));
  EXPECT_FALSE(Image::compose(size, {{pages(0, 2), layer, 0}, {pages(1, 1), layer, 0}}));
  EXPECT_FALSE(Image::compose(size, {{pages(3, 2), layer, 0}}));
  EXPECT_FALSE(Image::compose(size, {{pages(0, 2), layer, page_size()}}));
  EXPECT_FALSE(Image::compose(size, {{pages(0, 0), layer, 0}}));
  EXPECT_FALSE(Image::compose(size, {{{1, page_size()}, layer, 0}}));
  EXPECT_FALSE(Image::compose(size, {{pages(0, 1), nullptr, 0}}));
  EXPECT_FALSE(Image::compose(size + 1, {}));
}

TEST(Image, OutlivesTheRegionThatItWasTakenFrom) {
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

TEST(Image, ChangesAreThePagesThatWereWrittenBetween) {
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

TEST(Image, SealsShareWhatDidNotChange) {
  const auto region = make_region(1000);
  std::ranges::fill(region->bytes(), std::byte{1});
  const auto before = seal(*region);
  EXPECT_EQ(*region->written_bytes(), 0u);
  region->data()[500 * page_size()] = std::byte{2};
  EXPECT_EQ(*region->written_bytes(), page_size());
  const auto after = seal(*region);
  EXPECT_EQ(before->extents().front().view(), after->extents().front().view());
}

TEST(Image, PagesWrittenBeforeEverySealAreInEachImageAsTheyWereThen) {
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

TEST(Image, CopiesOfPagesWrittenBeforeEverySealTakeTurnsInTheSamePlaces) {
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

TEST(Image, PageWrittenAsItWasSealedIsNotAChange) {
  const auto region = make_region(10);
  std::ranges::fill(region->bytes(), std::byte{1});
  seal(*region);
  region->data()[3 * page_size()] = std::byte{2};
  const auto before = seal(*region);
  region->data()[3 * page_size()] = std::byte{2};
  EXPECT_EQ(*region->written_bytes(), 0u);
  EXPECT_THAT(seal(*region)->changes_since(*before), IsEmpty());
}

TEST(Image, ManyPagesThatWereWrittenOnceAreGivenBack) {
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

TEST(Image, GoesAwayOnAnyThreadWhileItsRegionIsSealed) {
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

TEST(Image, NeverWrittenPagesTakeNoExtent) {
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

TEST(Image, ManySealsKeepTheNumberOfExtentsBounded) {
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

TEST(Image, RowsThatGrowStayInOnePieceInFewExtentsWhereTheyWereWritten) {
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

TEST(Image, PageInWhichRowsGoOnIsWrittenByTheirRegionAlone) {
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

TEST(Image, FarApartWritesAreFlattenedWithoutTheLargePiecesBetween) {
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

TEST(Image, SealIsRefusedUnderALivePin) {
  const auto region = make_region(2);
  auto pin = region->pin({0, 1});
  ASSERT_TRUE(pin);
  const auto sealed = region->seal();
  ASSERT_FALSE(sealed);
  EXPECT_EQ(sealed.error().code, ErrorCode::unavailable);
  *pin = Pin();
  EXPECT_TRUE(region->seal());
}

TEST(Image, CleanPiecesAreReadThroughOneMappingByAll) {
  const auto region = make_region(100);
  std::ranges::fill(region->bytes(), std::byte{1});
  const auto image = seal(*region);
  const auto child = open_over(image);
  child->data()[50 * page_size()] = std::byte{2};
  const auto of_parent = region->clean_pieces({10, 99 * page_size()});
  const auto of_child = child->clean_pieces({10, 99 * page_size()});
  if (of_parent.empty()) GTEST_SKIP() << "this system does not say which pages were written";
  ASSERT_EQ(of_parent.size(), 1u);
  EXPECT_EQ(of_parent[0].range, (ByteRange{10, 99 * page_size()}));
  ASSERT_EQ(of_child.size(), 2u);
  EXPECT_EQ(of_child[0].range, (ByteRange{10, 50 * page_size() - 10}));
  EXPECT_EQ(of_child[1].range, (ByteRange{51 * page_size(), 48 * page_size() + 10}));
  EXPECT_EQ(of_child[0].at, of_parent[0].at);
  EXPECT_NE(of_child[0].at, child->data() + 10);
}

/// `count` pieces of `size` pages, each `distance` pages after the one before, of one Layer that begins with its
/// number.
std::shared_ptr<const Image> image_in_pieces(std::size_t count, std::size_t size, std::size_t distance) {
  auto file = *MemoryFile::create(count * size * page_size());
  std::vector<Extent> extents;
  for (std::size_t i = 0; i < count; ++i) {
    const auto byte = static_cast<std::byte>(i + 1);
    EXPECT_TRUE(file->write(i * size * page_size(), std::array{std::span<const std::byte>(&byte, 1)}));
    extents.push_back({pages(i * distance, size), nullptr, i * size * page_size()});
  }
  const auto layer = *Layer::seal(std::move(file), pages(0, count * size));
  for (Extent& extent : extents) extent.layer = layer;
  return *Image::compose(count * distance * page_size(), std::move(extents));
}

TEST(Image, ManySmallPiecesAreCopiedIntoFewAndLargeOnesAreNot) {
  const auto small = image_in_pieces(200, 1, 3);
  std::vector<Extent> extents(small->extents().begin(), small->extents().end());
  const auto large = image_in_pieces(1, 1000, 1000);
  extents.push_back({pages(600, 1000), large->extents()[0].layer, 0});
  const auto image = *Image::compose(2000 * page_size(), std::move(extents));
  const auto few = *Image::in_few_extents(image);
  EXPECT_EQ(few->extents().size(), kFewExtents);
  EXPECT_EQ(contents(*few), contents(*image));
  EXPECT_EQ(few->extents().back().layer, large->extents()[0].layer);
  EXPECT_TRUE(holds(*open_over(few), contents(*image)));
}

TEST(Image, FewPiecesStayAsTheyAre) {
  const auto image = image_in_pieces(kFewExtents, 1, 2);
  EXPECT_EQ(*Image::in_few_extents(image), image);
}

TEST(Image, NoMoreIsCopiedForFewPiecesThanAMappingIsWorth) {
  const std::size_t piece = 2 * kMiB;
  const auto image = image_in_pieces(200, piece / page_size(), piece / page_size());
  const auto few = *Image::in_few_extents(image);
  EXPECT_EQ(few->extents().size(), 200u - 16u) << "each joins two, of 4 MiB, and 64 MiB are copied at most";
  for (std::size_t i = 0; i < 200; ++i) {
    Bytes byte(1);
    few->read({i * piece, 1}, byte);
    EXPECT_EQ(byte[0], std::byte(i + 1));
  }
}

TEST(Layer, MapsAFileOnDiskAsItLies) {
  const std::string path = testing::TempDir() + "layer";
  const std::string text(3 * page_size(), 'x');
  std::ofstream(path, std::ios::binary) << text;
  {
    const auto layer = Layer::open(path, pages(1, 2));
    ASSERT_TRUE(layer) << layer.error().to_string();
    const auto image = Image::compose(8 * page_size(), {{pages(3, 2), *layer, 0}});
    ASSERT_TRUE(image);
    const auto region = open_over(*image);
    region->data()[3 * page_size()] = std::byte{'y'};
    EXPECT_EQ(region->data()[3 * page_size() + 1], std::byte{'x'});
    EXPECT_EQ((*layer)->view()[0], std::byte{'x'}) << "the file does not see what is written";
  }
  const auto beyond = Layer::open(path, pages(2, 2));
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, ErrorCode::corrupt);
  const auto missing = Layer::open(path + ".not", pages(0, 1));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_FALSE(Layer::open(path, {1, page_size()}));
  std::remove(path.c_str());
}

/// Regions, and Images of them, beside plain copies of what they should hold.
class Model {
 public:
  explicit Model(unsigned seed) : random_(seed) {
    lives_.push_back({make_region(8, kReserve), Bytes(8 * page_size()), 0});
  }

  void step() {
    Live& live = lives_[pick(lives_.size())];
    switch (pick(12)) {
      case 10:
      case 11: return append(live);
      case 0:
      case 1:
      case 2: return write(live);
      case 8:
      case 9: return write_again(live);
      case 3: return grow(live);
      case 4:
      case 5: return seal_one(live);
      case 6: return fork();
      case 7: return drop();
    }
  }

  void check() {
    for (const Live& live : lives_) {
      ASSERT_TRUE(holds(*live.region, live.bytes));
      const ByteRange range{pick(page_size()), live.bytes.size() - page_size()};
      for (const auto& [part, at] : live.region->clean_pieces(range)) {
        ASSERT_TRUE(part.offset >= range.offset && part.offset + part.size <= range.offset + range.size);
        ASSERT_EQ(std::memcmp(at, live.bytes.data() + part.offset, part.size), 0);
      }
    }
    for (const Kept& kept : images_) ASSERT_TRUE(holds(*kept.image, kept.bytes));
    if (images_.size() < 2) return;
    const Kept& a = images_[pick(images_.size())];
    const Kept& b = images_[pick(images_.size())];
    Bytes same_but_for_changes = a.bytes;
    same_but_for_changes.resize(std::max(a.bytes.size(), b.bytes.size()));
    Bytes target = b.bytes;
    target.resize(same_but_for_changes.size());
    for (const ByteRange& range : b.image->changes_since(*a.image)) {
      std::copy_n(target.begin() + static_cast<std::ptrdiff_t>(range.offset), range.size,
                  same_but_for_changes.begin() + static_cast<std::ptrdiff_t>(range.offset));
    }
    ASSERT_EQ(same_but_for_changes, target);
  }

 private:
  static constexpr std::size_t kReserve = 1200;

  struct Live {
    std::unique_ptr<Region> region;
    Bytes bytes;
    std::size_t rows_end = 0;
  };
  struct Kept {
    std::shared_ptr<const Image> image;
    Bytes bytes;
    std::size_t rows_end = 0;
  };

  std::size_t pick(std::size_t below) { return random_() % below; }

  void write(Live& live) {
    const std::size_t offset = pick(live.bytes.size());
    const std::size_t size = 1 + pick(std::min(live.bytes.size() - offset, 6 * page_size()));
    const auto value = static_cast<int>(pick(256));
    std::memset(live.region->data() + offset, value, size);
    std::memset(live.bytes.data() + offset, value, size);
  }
  /// What a guest writes at every turn: the same few pages, now and then as they were.
  void write_again(Live& live) {
    for (const std::size_t page : {1, 2, 5}) {
      const std::size_t at = page * page_size() + 7;
      live.bytes[at] = live.region->data()[at] = std::byte(pick(3));
    }
  }
  /// Rows one after another, of pages or of a few bytes.
  void append(Live& live) {
    const std::size_t begin = live.rows_end;
    const std::size_t size =
        std::min(1 + pick(pick(2) == 0 ? 2 * page_size() : 100 * page_size()), kReserve * page_size() - begin);
    if (begin + size > live.bytes.size()) {
      live.bytes.resize(align_up(begin + size, page_size()));
      ASSERT_TRUE(live.region->grow(live.bytes.size()));
    }
    const auto value = static_cast<int>(pick(256));
    std::memset(live.region->data() + begin, value, size);
    std::memset(live.bytes.data() + begin, value, size);
    live.rows_end = begin + size;
  }
  void grow(Live& live) {
    const std::size_t size = std::min(live.bytes.size() + pick(60) * page_size(), kReserve * page_size());
    ASSERT_TRUE(live.region->grow(size));
    live.bytes.resize(size);
  }
  void seal_one(Live& live) { images_.push_back({seal(*live.region), live.bytes, live.rows_end}); }
  void fork() {
    if (images_.empty() || lives_.size() > 6) return;
    const Kept& kept = images_[pick(images_.size())];
    lives_.push_back({open_over(kept.image, kReserve), kept.bytes, kept.rows_end});
  }
  void drop() {
    if (lives_.size() > 1 && pick(2) == 0)
      lives_.erase(lives_.begin() + static_cast<std::ptrdiff_t>(pick(lives_.size())));
    if (images_.size() > 3) images_.erase(images_.begin() + static_cast<std::ptrdiff_t>(pick(images_.size())));
  }

  std::mt19937 random_;
  std::vector<Live> lives_;
  std::vector<Kept> images_;
};

TEST(Image, AgreesWithPlainCopiesUnderRandomUse) {
  for (unsigned seed = 0; seed < 25; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Model model(seed);
    for (int i = 0; i < 120; ++i) {
      ASSERT_NO_FATAL_FAILURE(model.step());
      if (i % 10 == 9) {
        ASSERT_NO_FATAL_FAILURE(model.check());
      }
    }
  }
}

}  // namespace
}  // namespace driftwood
