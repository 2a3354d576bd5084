#include "memory/copy_file.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "memory/layer.hpp"
#include "memory/page_ranges.hpp"
#include "memory/region.hpp"
#include "memory/system_memory.hpp"

namespace driftwood {
namespace {

using Bytes = std::vector<std::byte>;

std::shared_ptr<CopyFile> make_file(std::size_t capacity = 64 * kMiB) {
  auto file = CopyFile::create(capacity);
  EXPECT_TRUE(file) << file.error().to_string();
  return file ? std::move(*file) : nullptr;
}

CopyFile::Place take(CopyFile& file, std::size_t size) {
  EXPECT_TRUE(file.has_room(size));
  auto place = file.take(size);
  EXPECT_TRUE(place) << place.error().to_string();
  return place ? std::move(*place) : CopyFile::Place{};
}

void write(CopyFile& file, CopyFile::Place& place, const Bytes& bytes) {
  const std::span<const std::byte> piece(bytes);
  ASSERT_TRUE(file.write(place, 0, {&piece, 1}));
}

bool holds(const CopyFile::Place& place, const Bytes& bytes) {
  return std::memcmp(place.at, bytes.data(), bytes.size()) == 0;
}

TEST(CopyFile, PlaceThatWasGivenBackIsTakenAgain) {
  const auto file = make_file();
  const std::size_t size = 10 * page_size();
  CopyFile::Place first = take(*file, size);
  write(*file, first, Bytes(size, std::byte{1}));
  const ByteRange range = first.range;
  const CopyFile::Place second = take(*file, size);
  EXPECT_FALSE(second.range.overlaps(range)) << "the first is still in use";
  file->give_back(std::move(first));
  EXPECT_EQ(take(*file, size).range, range);
}

TEST(CopyFile, PlaceThatIsMuchTooLargeIsLeftForLargerCopies) {
  const auto file = make_file();
  CopyFile::Place large = take(*file, 200 * page_size());
  const ByteRange range = large.range;
  file->give_back(std::move(large));
  EXPECT_FALSE(take(*file, page_size()).range.overlaps(range));
  EXPECT_EQ(take(*file, 200 * page_size()).range, range);
}

TEST(CopyFile, SmallPlacesDoNotKeepALargerOneFromUseAgain) {
  const auto file = make_file();
  std::vector<CopyFile::Place> small;
  for (int i = 0; i < 5; ++i) small.push_back(take(*file, page_size()));
  CopyFile::Place large = take(*file, 70 * page_size());
  const ByteRange range = large.range;
  for (CopyFile::Place& place : small) file->give_back(std::move(place));
  file->give_back(std::move(large));
  EXPECT_EQ(take(*file, 70 * page_size()).range, range);
}

TEST(CopyFile, FreshPlaceIsZeroEvenAfterOthersWereGivenBack) {
  const auto file = make_file();
  const std::size_t size = 4 * page_size();
  CopyFile::Place used = take(*file, size);
  write(*file, used, Bytes(size, std::byte{7}));
  file->give_back(std::move(used));
  const auto fresh = file->take_fresh(size);
  ASSERT_TRUE(fresh);
  EXPECT_TRUE(holds(*fresh, Bytes(size)));
}

TEST(CopyFile, PlaceTakesMoreThanItsLastUseWrote) {
  const auto file = make_file();
  CopyFile::Place place = take(*file, 3 * page_size());
  write(*file, place, Bytes(page_size(), std::byte{1}));
  file->give_back(std::move(place));
  place = take(*file, 3 * page_size());
  const Bytes longer(3 * page_size(), std::byte{2});
  write(*file, place, longer);
  EXPECT_TRUE(holds(place, longer));
}

TEST(CopyFile, RoomEndsAtItsCapacity) {
  const auto file = make_file(2 * kMiB);
  EXPECT_TRUE(file->has_room(2 * kMiB));
  EXPECT_FALSE(file->has_room(2 * kMiB + 1));
  const CopyFile::Place most = take(*file, kMiB + 1);
  EXPECT_FALSE(file->has_room(kMiB));
  EXPECT_TRUE(file->has_room(kMiB / 2));
}

TEST(CopyFile, ClosedOneGivesItsPagesBack) {
  const auto file = make_file();
  const std::size_t size = 4 * page_size();
  CopyFile::Place spare = take(*file, size);
  CopyFile::Place in_use = take(*file, size);
  write(*file, spare, Bytes(size, std::byte{1}));
  write(*file, in_use, Bytes(size, std::byte{2}));
  file->give_back(std::move(spare));
  file->close();
  EXPECT_TRUE(holds(in_use, Bytes(size, std::byte{2})));
  file->give_back(std::move(in_use));
#ifdef __linux__
  const auto left = system_memory::data_ranges(file->fd(), {0, 2 * size});
  ASSERT_TRUE(left);
  EXPECT_TRUE(left->empty());
#endif
}

TEST(CopyFile, PlacesInUseKeepTheirBytesWhateverElseIsTaken) {
  std::mt19937 random(7);
  const auto file = make_file(512 * kMiB);
  struct Used {
    CopyFile::Place place;
    Bytes bytes;
  };
  std::vector<Used> all;
  for (int step = 0; step < 2000; ++step) {
    if (all.size() > 6 || (!all.empty() && random() % 2 == 0)) {
      const std::size_t i = random() % all.size();
      ASSERT_TRUE(holds(all[i].place, all[i].bytes));
      file->give_back(std::move(all[i].place));
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    const std::size_t size = (1 + random() % 40) * page_size();
    Used used{take(*file, size), Bytes(size, std::byte(1 + random() % 255))};
    for (const Used& other : all) ASSERT_FALSE(other.place.range.overlaps(used.place.range));
    ASSERT_NO_FATAL_FAILURE(write(*file, used.place, used.bytes));
    all.push_back(std::move(used));
  }
  for (const Used& used : all) EXPECT_TRUE(holds(used.place, used.bytes));
}

TEST(MemoryFile, WritesManyPiecesOneAfterAnother) {
  const auto file = MemoryFile::create(page_size());
  ASSERT_TRUE(file);
  Bytes expected(page_size());
  std::vector<std::span<const std::byte>> pieces;
  for (std::size_t at = 0, size = 0; at < 1500; at += size, size = (size + 1) % 11) {
    for (std::size_t k = at; k < at + size; ++k) expected[k] = std::byte(at);
    pieces.emplace_back(expected.data() + at, size);
  }
  ASSERT_TRUE((*file)->write(0, pieces));
  const auto layer = Layer::seal(*file, {0, page_size()});
  ASSERT_TRUE(layer);
  EXPECT_EQ(std::memcmp((*layer)->view(), expected.data(), 1500), 0);
}

TEST(PageRanges, ClippedAreTheParts) {
  const std::vector<ByteRange> ranges = {{10, 10}, {30, 10}, {50, 10}};
  EXPECT_EQ(clipped(ranges, {0, 100}), ranges);
  EXPECT_EQ(clipped(ranges, {15, 40}), (std::vector<ByteRange>{{15, 5}, {30, 10}, {50, 5}}));
  EXPECT_TRUE(clipped(ranges, {20, 10}).empty());
  EXPECT_EQ(clipped(ranges, {32, 4}), (std::vector<ByteRange>{{32, 4}}));
}

#ifdef __linux__
TEST(DataRanges, LeaveNoLargerHoleInAndNoPageOut) {
  const std::size_t page = page_size();
  for (unsigned seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    constexpr std::size_t kPages = 400;
    const auto file = MemoryFile::create(kPages * page);
    ASSERT_TRUE(file);
    std::vector<bool> is_there(kPages);
    const Bytes ones(page, std::byte{1});
    for (std::size_t at = random() % 50; at < kPages; at += 1 + (random() % 3 == 0 ? random() % 60 : 0)) {
      const std::span<const std::byte> piece(ones);
      ASSERT_TRUE((*file)->write(at * page, {&piece, 1}));
      is_there[at] = true;
    }
    const ByteRange range{(random() % 20) * page, (kPages - 40) * page};
    for (const std::size_t gap : {std::size_t{0}, page, 16 * page, 33 * page}) {
      const auto found = system_memory::data_ranges((*file)->fd(), range, gap);
      ASSERT_TRUE(found);
      std::vector<bool> covered(kPages);
      for (const ByteRange& part : *found) {
        ASSERT_TRUE(part.offset >= range.offset && part.offset + part.size <= range.offset + range.size);
        EXPECT_TRUE(is_there[part.offset / page] && is_there[(part.offset + part.size) / page - 1]);
        std::size_t hole = 0;
        for (std::size_t at = part.offset / page; at < (part.offset + part.size) / page; ++at) {
          covered[at] = true;
          hole = is_there[at] ? 0 : hole + 1;
          EXPECT_LE(hole * page, gap);
        }
      }
      for (std::size_t at = range.offset / page; at < (range.offset + range.size) / page; ++at) {
        EXPECT_TRUE(covered[at] || !is_there[at]) << "page " << at << ", gap " << gap;
      }
    }
  }
}
#endif

}  // namespace
}  // namespace driftwood
