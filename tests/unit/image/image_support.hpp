// Regions, Images of them, and what they hold, for tests.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "memory/image.hpp"
#include "memory/region.hpp"

namespace driftwood::testing {

using Bytes = std::vector<std::byte>;

inline std::unique_ptr<Region> make_region(std::size_t pages, std::size_t reserve_pages = 4096) {
  auto region = Region::create({.reserve = reserve_pages * page_size(), .commit = pages * page_size()});
  EXPECT_TRUE(region) << region.error().to_string();
  return region ? std::move(*region) : nullptr;
}

inline std::shared_ptr<const Image> seal(Region& region) {
  auto image = region.seal();
  EXPECT_TRUE(image) << image.error().to_string();
  return image ? *image : nullptr;
}

inline std::unique_ptr<Region> open_over(std::shared_ptr<const Image> image, std::size_t reserve_pages = 4096) {
  const std::size_t size = image->size();
  auto region = Region::create_over(std::move(image), {.reserve = reserve_pages * page_size(), .commit = size});
  EXPECT_TRUE(region) << region.error().to_string();
  return region ? std::move(*region) : nullptr;
}

inline Bytes contents(const Image& image) {
  Bytes bytes(image.size());
  image.read({0, bytes.size()}, bytes);
  return bytes;
}

inline bool holds(const Region& region, const Bytes& expected) {
  return region.size() == expected.size() && std::memcmp(region.data(), expected.data(), expected.size()) == 0;
}

/// The same of large ones, byte by byte being slow where sanitizers watch.
inline bool holds(const Image& image, const Bytes& expected) {
  const Bytes held = contents(image);
  return held.size() == expected.size() && std::memcmp(held.data(), expected.data(), held.size()) == 0;
}

/// Pages [first, first + count) as a byte range.
inline ByteRange pages(std::size_t first, std::size_t count) { return {first * page_size(), count * page_size()}; }

}  // namespace driftwood::testing
