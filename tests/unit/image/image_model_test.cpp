#include "memory/image.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "image_support.hpp"

namespace driftwood {
namespace {

using testing::Bytes;
using testing::holds;
using testing::make_region;
using testing::open_over;
using testing::pages;
using testing::seal;

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
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
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
