// The program's own pieces that have no file or process to them: characters and values with units.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "console.hpp"
#include "mappings.hpp"
#include "options.hpp"
#include "utf8.hpp"

namespace driftwood::cli {
namespace {

using namespace std::chrono_literals;

TEST(Utf8, InvalidBytesAreOneCharacterEach) {
  EXPECT_EQ(utf8_length("aä€😀"), 4U);
  EXPECT_EQ(utf8_length("\xC0\xAF"), 2U);          // overlong
  EXPECT_EQ(utf8_length("\xED\xA0\x80"), 3U);      // surrogate
  EXPECT_EQ(utf8_length("\xF4\x90\x80\x80"), 4U);  // past U+10FFFF
  EXPECT_EQ(utf8_length("\xE2\x82"), 2U);          // cut off
}

TEST(Utf8, BeginningOfACharacterIsHeldBack) {
  EXPECT_EQ(complete_utf8("ab\xE2\x82"), 2U);
  EXPECT_EQ(complete_utf8("ab\xF0\x9F\x98"), 2U);
  EXPECT_EQ(complete_utf8("ab€"), 5U);
  EXPECT_EQ(complete_utf8("ab\x80\x80"), 4U);  // will never be one
  EXPECT_EQ(complete_utf8(""), 0U);
}

TEST(Printable, WhatSteersATerminalIsReplaced) {
  EXPECT_EQ(printable("a\tb\n"), "a\tb\n");
  EXPECT_EQ(printable("\x1b[2J"), "\uFFFD[2J");
  EXPECT_EQ(printable("\xC2\x9B"
                      "2J"),
            "\uFFFD"
            "2J");  // the one-character CSI
  EXPECT_EQ(printable("x\xFF"), "x\uFFFD");
}

TEST(Sizes, AreReadInPowersOf1024) {
  EXPECT_EQ(parse_size("65536"), 65536U);
  EXPECT_EQ(parse_size("64K"), 65536U);
  EXPECT_EQ(parse_size("2G"), std::size_t{2} << 30U);
  for (const char* wrong : {"", "G", "-1", "1.5G", "1T", "99999999999999999999", "99999999999999G"}) {
    EXPECT_FALSE(parse_size(wrong)) << wrong;
  }
}

TEST(Durations, CountSecondsWithoutAUnit) {
  EXPECT_EQ(parse_duration("3"), 3000ms);
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("2m"), 120'000ms);
  for (const char* wrong : {"", "s", "1d", "-1s", "1 s", "99999999999h"}) EXPECT_FALSE(parse_duration(wrong)) << wrong;
}

TEST(Mappings, LimitSaysHowManyActorsItIsEnoughForAndWhatToDo) {
  const MappingLimit usual = mapping_limit(65'530);
  EXPECT_EQ(
      to_text(usual),
      "mappings: 65530 for a process (vm.max_map_count), enough for about 507 forks or thawed actors in 64 pieces "
      "each; for more: sysctl -w vm.max_map_count=262120");
  EXPECT_FALSE(usual.small);
}

TEST(Mappings, SmallLimitIsAWarning) {
  const MappingLimit small = mapping_limit(65'529);
  EXPECT_TRUE(small.small);
  EXPECT_EQ(to_text(small).find("warning: mappings: 65529 "), 0U);
  EXPECT_NE(to_text(small).find("that is few, raise it: sysctl -w vm.max_map_count=65530"), std::string::npos);
  EXPECT_EQ(to_json(small)["small"], true);
}

TEST(Mappings, SystemWithoutALimitSaysNothing) { EXPECT_TRUE(to_json(std::optional<MappingLimit>()).is_null()); }

TEST(Directories, AreSpelledAsWasmtimeDoes) {
  EXPECT_EQ(parse_directory("/a::/b")->host, "/a");
  EXPECT_EQ(parse_directory("/a::/b")->guest, "/b");
  EXPECT_EQ(parse_directory("a")->guest, "a");
  EXPECT_FALSE(parse_directory("::b"));
  EXPECT_FALSE(parse_directory("a::"));
}

}  // namespace
}  // namespace driftwood::cli
