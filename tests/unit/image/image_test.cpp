#include "memory/image.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <vector>

#include "image_support.hpp"

namespace driftwood {
namespace {

using testing::Bytes;
using testing::contents;
using ::testing::HasSubstr;
using testing::holds;
using testing::make_region;
using testing::open_over;
using testing::pages;
using testing::seal;

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
  const std::string path = ::testing::TempDir() + "layer";
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
}  // namespace
}  // namespace driftwood
