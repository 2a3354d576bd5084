// Writes to memory are seen page by page, whatever the pages are mapped over.
#include <gtest/gtest.h>

#include <cstring>

#include "memory/page_watch.hpp"
#include "memory/region.hpp"

namespace driftwood {
namespace {

class PageWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto watch = PageWatch::create();
    if (!watch) GTEST_SKIP() << watch.error().to_string();
    watch_ = *std::move(watch);
    const std::size_t size = 64 * page_size();
    region_ = *Region::create({.reserve = size, .commit = size});
  }

  std::byte* page(std::size_t n) const { return region_->data() + n * page_size(); }
  std::optional<std::size_t> first_written(std::size_t pages = 64) const {
    return watch_->first_written(region_->data(), pages * page_size());
  }

  std::unique_ptr<PageWatch> watch_;
  std::unique_ptr<Region> region_;
};

TEST_F(PageWatchTest, TheFirstPageThatWasWrittenIsFound) {
  std::memset(region_->data(), 1, region_->size());
  ASSERT_TRUE(watch_->watch(region_->data(), region_->size()));
  EXPECT_EQ(first_written(), std::nullopt);
  *page(40) = std::byte{2};
  *page(9) = std::byte{2};
  EXPECT_EQ(first_written(), 9 * page_size());
  EXPECT_EQ(first_written(9), std::nullopt);
  ASSERT_TRUE(watch_->watch(page(9), 1));
  EXPECT_EQ(first_written(), 40 * page_size());
}

TEST_F(PageWatchTest, APageThatWasNeverTouchedIsSeenWhenItIsWritten) {
  ASSERT_TRUE(watch_->watch(region_->data(), region_->size()));
  EXPECT_EQ(first_written(), std::nullopt);
  *page(3) = std::byte{1};
  EXPECT_EQ(first_written(), 3 * page_size());
}

TEST_F(PageWatchTest, PagesThatAreNotWatchedCountAsWritten) { EXPECT_EQ(first_written(), 0); }

TEST_F(PageWatchTest, ASealMakesPagesUnwatched) {
  std::memset(region_->data(), 1, region_->size());
  ASSERT_TRUE(watch_->watch(region_->data(), region_->size()));
  ASSERT_TRUE(region_->seal());
  EXPECT_EQ(first_written(), 0);
}

TEST_F(PageWatchTest, WritesToCopyOnWritePagesAreSeen) {
  std::memset(region_->data(), 1, region_->size());
  ASSERT_TRUE(region_->seal());
  *page(5) = std::byte{2};
  ASSERT_TRUE(watch_->watch(region_->data(), region_->size()));
  EXPECT_EQ(first_written(), std::nullopt);
  *page(5) = std::byte{3};
  EXPECT_EQ(first_written(), 5 * page_size());
}

}  // namespace
}  // namespace driftwood
