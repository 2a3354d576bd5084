#include "driftwood/stream.hpp"

#include <gtest/gtest.h>

namespace driftwood::guest {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

/// What comes out when `text` comes in pieces that end at the bits set in `cuts`.
std::string assemble(std::string_view text, std::uint32_t cuts, bool* whole_pieces = nullptr) {
  Utf8Assembler assembler;
  std::string out;
  std::size_t begin = 0;
  const auto push = [&](std::size_t end) {
    std::string piece;
    assembler.push(text.substr(begin, end - begin), piece);
    Utf8Assembler alone;
    std::string again;
    alone.push(piece, again);
    alone.finish(again);
    if (whole_pieces != nullptr && again != piece) *whole_pieces = false;
    out += piece;
    begin = end;
  };
  for (std::size_t i = 1; i < text.size(); ++i) {
    if ((cuts >> (i - 1) & 1) != 0) push(i);
  }
  push(text.size());
  assembler.finish(out);
  return out;
}

TEST(GuestUtf8, GivesWholeCharactersAtEverySplit) {
  const std::string text = "aé€😀ñ漢";  // 1, 2, 3, 4, 2 and 3 bytes
  ASSERT_EQ(text.size(), 15u);
  for (std::uint32_t cuts = 0; cuts < 1U << (text.size() - 1); ++cuts) {
    bool whole = true;
    ASSERT_EQ(assemble(text, cuts, &whole), text);
    ASSERT_TRUE(whole) << cuts;
  }
}

TEST(GuestUtf8, HoldsNothingBackThatIsWhole) {
  Utf8Assembler assembler;
  std::string out;
  assembler.push("a\xf0\x9f\x98", out);
  EXPECT_EQ(out, "a");
  assembler.push("\x80", out);
  EXPECT_EQ(out, "a😀");
}

TEST(GuestUtf8, ReplacesWhatIsNoCharacterTheSameAtEverySplit) {
  const std::string r(kReplacement);
  // From table 3-8 of the Unicode standard 15, and the borders of what UTF-8 allows.
  const std::pair<std::string, std::string> cases[] = {
      {"\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64", "a" + r + r + r + "b" + r + "c" + r + r + "d"},
      {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", r + r + r + r + r + r + r + r + "A"},
      {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", r + r + r + r + r + r + r + r + "A"},
      {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", r + r + r + r + r + "A" + r + r + "B"},
      {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", r + r + r + r + "A"},
      {"\xf4\x8f\xbf\xbf\xed\x9f\xbf\xe0\xa0\x80\xf0\x90\x80\x80",
       "\xf4\x8f\xbf\xbf\xed\x9f\xbf\xe0\xa0\x80\xf0\x90\x80\x80"},
      {"ab\xe2\x82", "ab" + r},
  };
  for (const auto& [bytes, expected] : cases) {
    for (std::uint32_t cuts = 0; cuts < 1U << (bytes.size() - 1); ++cuts) ASSERT_EQ(assemble(bytes, cuts), expected);
  }
}

struct Stopped {
  std::string text;
  bool stopped;
  bool operator==(const Stopped&) const = default;
};

Stopped run(const std::vector<std::string>& stops, std::string_view text, std::uint32_t cuts) {
  TextStream stream(stops);
  std::string out;
  std::size_t begin = 0;
  bool stopped = false;
  for (std::size_t i = 1; i <= text.size() && !stopped; ++i) {
    if (i < text.size() && (cuts >> (i - 1) & 1) == 0) continue;
    out += stream.push(text.substr(begin, i - begin));
    stopped = stream.stopped();
    begin = i;
  }
  out += stream.finish();
  return {out, stopped};
}

TEST(GuestStop, EndsBeforeAStopStringAtEverySplit) {
  struct Case {
    std::vector<std::string> stops;
    std::string text;
    Stopped expected;
  };
  const Case cases[] = {
      {{"END"}, "so ENENDing", {"so EN", true}},
      {{"aab"}, "aaaabaa", {"aa", true}},
      {{"\n\n"}, "one\ntwo\n\n3", {"one\ntwo", true}},
      {{"abcd", "bc"}, "xabcdx", {"xa", true}},  // "bc" is complete first
      {{"abc", "bc"}, "xabcx", {"x", true}},     // both at once: the longest
      {{"€😀"}, "a€€😀b", {"a€", true}},
      {{"abab"}, "ababab", {"", true}},
      {{"never", ""}, "nevenev", {"nevenev", false}},
      {{}, "anything", {"anything", false}},
  };
  for (const Case& test : cases) {
    for (std::uint32_t cuts = 0; cuts < 1U << (test.text.size() - 1); ++cuts) {
      ASSERT_EQ(run(test.stops, test.text, cuts), test.expected) << test.text << " " << cuts;
    }
  }
}

TEST(GuestStop, HoldsBackOnlyWhatMayBecomeAStopString) {
  TextStream stream({"</s>"});
  EXPECT_EQ(stream.push("a <"), "a ");
  EXPECT_EQ(stream.push("/"), "");
  EXPECT_EQ(stream.push("p"), "</p");
  EXPECT_EQ(stream.push("<"), "");
  EXPECT_EQ(stream.finish(), "<");
}

TEST(GuestStream, IsReadyForTheNextTextAfterItsEnd) {
  TextStream stream({"."});
  EXPECT_EQ(stream.push("one. two"), "one");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.push("more"), "");
  EXPECT_EQ(stream.finish(), "");
  EXPECT_FALSE(stream.stopped());
  EXPECT_EQ(stream.push("three\xe2\x82"), "three");
  EXPECT_EQ(stream.finish(), kReplacement);
  EXPECT_EQ(stream.push("four"), "four");
}

}  // namespace
}  // namespace driftwood::guest
