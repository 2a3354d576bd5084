#include "hostcalls/guest_memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "hostcalls/guest_abi.hpp"

namespace driftwood {
namespace {

using testing::HasSubstr;

constexpr Argument kArgument{"dw_call", "thing"};

struct GuestMemoryTest : testing::Test {
  alignas(64) std::array<std::byte, 256> bytes{};
  GuestMemory memory{bytes.data(), bytes.size()};
};

TEST_F(GuestMemoryTest, TakesRangesUpToItsLastByte) {
  EXPECT_TRUE(memory.range(kArgument, 0, 256));
  EXPECT_TRUE(memory.range(kArgument, 255, 1));
  EXPECT_TRUE(memory.range(kArgument, 256, 0));
}

TEST_F(GuestMemoryTest, RefusesRangesThatReachBeyondItAndSaysWhich) {
  for (const auto& [offset, size] : std::initializer_list<std::pair<std::uint32_t, std::uint64_t>>{
           {256, 1}, {255, 2}, {257, 0}, {0xffffffff, 1}, {1, 0xffffffff}, {0xffffffff, UINT64_MAX}}) {
    const auto range = memory.range(kArgument, offset, size);
    ASSERT_FALSE(range) << offset << ", " << size;
    EXPECT_EQ(range.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(range.error().message, HasSubstr("\"thing\" of dw_call"));
    EXPECT_THAT(range.error().message, HasSubstr(std::to_string(offset)));
    EXPECT_THAT(range.error().message, HasSubstr("(256 bytes)"));
  }
}

TEST_F(GuestMemoryTest, RefusesAnOffsetThatIsNotAligned) {
  EXPECT_TRUE(memory.range(kArgument, 64, 8, 32));
  const auto range = memory.range(kArgument, 68, 8, 32);
  ASSERT_FALSE(range);
  EXPECT_EQ(range.error().message, "The argument \"thing\" of dw_call (offset 68) is not aligned to 32 bytes.");
}

TEST_F(GuestMemoryTest, RefusesAnArrayWhoseSizeWouldWrapRound) {
  EXPECT_FALSE(memory.array<std::uint64_t>(kArgument, 0, 0x20000001));
  EXPECT_TRUE(memory.array<std::uint64_t>(kArgument, 8, 31));
  EXPECT_FALSE(memory.array<std::uint64_t>(kArgument, 8, 32));
}

TEST_F(GuestMemoryTest, RefusesAStructOfAnotherSizeBeforeItsEnd) {
  const std::uint32_t wrong = 16;
  std::memcpy(bytes.data() + 252, &wrong, sizeof(wrong));
  const auto info = memory.read_sized<dw_info>(kArgument, 252);
  ASSERT_FALSE(info);
  EXPECT_THAT(info.error().message, HasSubstr("(16)"));
  EXPECT_THAT(info.error().message, HasSubstr("(80)"));
}

TEST_F(GuestMemoryTest, RefusesAStructThatReachesBeyondTheEnd) {
  const std::uint32_t size = sizeof(dw_info);
  std::memcpy(bytes.data() + 184, &size, sizeof(size));
  EXPECT_FALSE(memory.read_sized<dw_info>(kArgument, 184));
}

TEST_F(GuestMemoryTest, GivesWhatFitsAndSaysHowMuchThereIs) {
  const std::string_view text = "abcdef";
  EXPECT_EQ(memory.give<char>(kArgument, 0, 4, text).value(), 6);
  EXPECT_EQ(std::string_view(reinterpret_cast<char*>(bytes.data()), 6), std::string_view("abcd\0\0", 6));
  EXPECT_FALSE(memory.give<char>(kArgument, 253, 4, text));
}

TEST_F(GuestMemoryTest, HoldsTextToItsLimit) {
  EXPECT_TRUE(memory.text(kArgument, 0, 10, 10));
  EXPECT_FALSE(memory.text(kArgument, 0, 11, 10));
}

TEST_F(GuestMemoryTest, WithoutBytesRefusesEverythingButNothing) {
  const GuestMemory none;
  EXPECT_TRUE(none.range(kArgument, 0, 0));
  EXPECT_FALSE(none.range(kArgument, 0, 1));
}

TEST(CheckDisjoint, NamesTheTwoRangesThatOverlap) {
  const NamedRange apart[] = {{{"dw_call", "a"}, {0, 16}}, {{"dw_call", "b"}, {16, 16}}, {{"dw_call", "c"}, {8, 0}}};
  EXPECT_TRUE(check_disjoint(apart));
  const NamedRange across[] = {{{"dw_call", "a"}, {0, 17}}, {{"dw_call", "b"}, {16, 16}}};
  const auto checked = check_disjoint(across);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message, testing::AllOf(HasSubstr("\"a\" (offset 0, 17 bytes)"), HasSubstr("\"b\"")));
}

}  // namespace
}  // namespace driftwood
