// Files of packed weights: what is kept comes back, and nothing else is believed.
#include "llm/graph/packed_cache.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "support/processes.hpp"

namespace driftwood {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSize = 200'003;
constexpr std::uint32_t kVersion = 12;

class PackedCacheTest : public ::testing::Test {
 protected:
  PackedCacheTest() {
    std::string name = (fs::temp_directory_path() / "packed-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    for (std::size_t i = 0; i < kSize; ++i) bytes_.push_back(static_cast<std::byte>(i * i >> 3));
    key_.bytes.front() = std::byte{7};
  }
  ~PackedCacheTest() override { fs::remove_all(folder_); }

  PackedCache open(std::uint32_t version = kVersion) { return PackedCache::open(folder_ / "packed", version).value(); }
  fs::path file() const { return folder_ / "packed" / (key_.to_hex() + ".packed" + std::to_string(kVersion)); }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_ / "packed")) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  void overwrite(std::uint64_t at, char value) const {
    std::fstream out(file(), std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(static_cast<std::streamoff>(at));
    out.put(value);
  }

  fs::path folder_;
  std::vector<std::byte> bytes_;
  Hash key_;
};

TEST_F(PackedCacheTest, WhatOneKeepsAnotherMaps) {
  ASSERT_TRUE(open().store(key_, bytes_));
  const auto mapped = open().load(key_, kSize);
  ASSERT_NE(mapped, nullptr);
  EXPECT_TRUE(std::ranges::equal(mapped->bytes(), bytes_));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(mapped->bytes().data()) % 64, 0U);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "packed"), {}), 1) << "nothing half done stays";
}

TEST_F(PackedCacheTest, AnotherKeyOrSizeFindsNothing) {
  const PackedCache cache = open();
  EXPECT_EQ(cache.load(key_, kSize), nullptr);
  ASSERT_TRUE(cache.store(key_, bytes_));
  Hash other = key_;
  other.bytes.back() ^= std::byte{1};
  EXPECT_EQ(cache.load(other, kSize), nullptr);
  EXPECT_EQ(cache.load(key_, kSize - 1), nullptr);
  EXPECT_EQ(cache.load(key_, kSize + 1), nullptr);
}

TEST_F(PackedCacheTest, ADamagedFileIsNotUsed) {
  const PackedCache cache = open();
  ASSERT_TRUE(cache.store(key_, bytes_));
  const std::uint64_t header = fs::file_size(file()) - kSize;
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{9}, std::uint64_t{17}, std::uint64_t{30}, header,
                                 header + 100'000, header + kSize - 1}) {
    ASSERT_TRUE(cache.store(key_, bytes_));
    ASSERT_NE(cache.load(key_, kSize), nullptr);
    overwrite(at, 0x55);
    EXPECT_EQ(cache.load(key_, kSize), nullptr) << "byte " << at;
  }
  ASSERT_TRUE(cache.store(key_, bytes_));
  fs::resize_file(file(), fs::file_size(file()) - 1);
  EXPECT_EQ(cache.load(key_, kSize), nullptr);
  fs::resize_file(file(), 0);
  EXPECT_EQ(cache.load(key_, kSize), nullptr);
}

TEST_F(PackedCacheTest, AFileThatOthersMayHaveWrittenIsNotUsed) {
  const PackedCache cache = open();
  ASSERT_TRUE(cache.store(key_, bytes_));
  fs::permissions(file(), fs::perms::others_write, fs::perm_options::add);
  EXPECT_EQ(cache.load(key_, kSize), nullptr);
  fs::permissions(file(), fs::perms::others_write, fs::perm_options::remove);
  fs::rename(file(), folder_ / "elsewhere");
  fs::create_symlink(folder_ / "elsewhere", file());
  EXPECT_EQ(cache.load(key_, kSize), nullptr);
}

TEST_F(PackedCacheTest, FilesOfOlderVersionsGoWithTheFirstOfANewerOne) {
  const fs::path folder = folder_ / "packed";
  const PackedCache cache = open(9);
  ASSERT_TRUE(cache.store(key_, bytes_));
  const auto mapped = cache.load(key_, kSize);
  ASSERT_NE(mapped, nullptr);
  const std::vector<std::string> others = {"a.packed13", "b.packedx", "c", "packed"};
  for (const std::string& other : others) std::ofstream(folder / other) << "x";
  std::ofstream(folder / "first.packed") << "x";

  ASSERT_EQ(open().load(key_, kSize), nullptr);
  ASSERT_TRUE(fs::exists(folder / (key_.to_hex() + ".packed9"))) << "looking for a file removes none";
  ASSERT_TRUE(open().store(key_, bytes_));
  std::vector<std::string> wanted = others;
  wanted.push_back(file().filename());
  std::ranges::sort(wanted);
  EXPECT_EQ(names(), wanted);
  EXPECT_TRUE(std::ranges::equal(mapped->bytes(), bytes_)) << "who has mapped a file keeps it";
  EXPECT_NE(open().load(key_, kSize), nullptr);
}

TEST_F(PackedCacheTest, ProcessesThatKeepTheSameAtOnceMapOneFile) {
  const PackedCache cache = open();
  const testing::Processes processes(4, [&](const auto& meet) {
    meet();
    if (!cache.store(key_, bytes_)) return 1;
    const auto own = cache.load(key_, kSize);
    if (own == nullptr || !std::ranges::equal(own->bytes(), bytes_)) return 2;
    meet();
    return own->bytes().back() == std::byte{0x55} ? 0 : 3;
  });
  processes.await_all();
  processes.go_on();
  processes.await_all();
  EXPECT_EQ(names(), std::vector<std::string>{file().filename()});
  // What is written into the file is seen by all that have it mapped, and by nobody else.
  ASSERT_NE(bytes_.back(), std::byte{0x55});
  overwrite(fs::file_size(file()) - 1, 0x55);
  processes.go_on();
  processes.expect_all_went_well();
}

TEST_F(PackedCacheTest, AFolderThatOthersMayWriteOrThatIsNoneIsRefused) {
  fs::create_directory(folder_ / "packed");
  fs::permissions(folder_ / "packed", fs::perms::others_write, fs::perm_options::add);
  EXPECT_EQ(PackedCache::open(folder_ / "packed", kVersion).error().code, ErrorCode::unavailable);
  std::ofstream(folder_ / "file") << "x";
  EXPECT_EQ(PackedCache::open(folder_ / "file", kVersion).error().code, ErrorCode::unavailable);
  EXPECT_EQ(PackedCache::open(folder_ / "file" / "packed", kVersion).error().code, ErrorCode::unavailable);
}

}  // namespace
}  // namespace driftwood
