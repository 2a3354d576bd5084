#include "snapshot/manifest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "samples.hpp"

namespace driftwood {
namespace {

using testing::full_manifest;
using ::testing::HasSubstr;
using testing::value_of;

std::string text_of(const Manifest& manifest) { return value_of(encode_manifest(manifest)); }

/// The full manifest with one change to its JSON.
template <typename Change>
std::string changed(Change change) {
  auto json = nlohmann::json::parse(text_of(full_manifest()));
  change(json);
  return json.dump();
}

void expect_refused(const std::string& text, const std::string& because) {
  const auto manifest = decode_manifest(text);
  ASSERT_FALSE(manifest) << text;
  EXPECT_EQ(manifest.error().code, ErrorCode::corrupt);
  EXPECT_THAT(manifest.error().message, HasSubstr(because));
  EXPECT_EQ(manifest.error().message.back(), '.');
}

TEST(Manifest, ComesBackAsItWasEncoded) {
  EXPECT_EQ(value_of(decode_manifest(text_of(full_manifest()))), full_manifest());
  EXPECT_EQ(value_of(decode_manifest(text_of(Manifest{}))), Manifest{});
}

TEST(Manifest, HasOneEncoding) {
  const std::string text = text_of(full_manifest());
  EXPECT_EQ(text.substr(0, 30), R"({"abi":1,"actor":"first","crea)");
  expect_refused(" " + text, "canonical");
  expect_refused("{\"abi\":1," + text.substr(1), "canonical");  // a duplicate
  expect_refused("{\"actor\":\"first\",\"abi\":1" + text.substr(24), "canonical");
}

TEST(Manifest, RefusesWhatIsNotOne) {
  expect_refused("", "not JSON");
  expect_refused("[]", "array instead of an object");
  expect_refused("{}", "no member \"abi\"");
  expect_refused("{\"abi\":1}x", "not JSON");
  expect_refused(std::string(100'000, '['), "nests 100000 deep");
  expect_refused("\"\xFF\"", "not JSON");
  expect_refused(std::string(kMaxManifestSize + 1, ' '), "at most 4194304 are allowed");
}

TEST(Manifest, RefusesUnknownMembersByCount) {
  expect_refused(changed([](auto& json) { json["colour"] = "red"; }), "1 members that version 1 does not know, of 14");
  expect_refused(changed([](auto& json) { json["wasi"]["colour"] = "red"; }), "The manifest's wasi has 1 members");
}

TEST(Manifest, NamesTheMemberThatIsWrong) {
  expect_refused(changed([](auto& json) { json["abi"] = -1; }),
                 "\"abi\" that is not a whole number from 0 to 4294967295");
  expect_refused(changed([](auto& json) { json["abi"] = 4294967296; }), "\"abi\"");
  expect_refused(changed([](auto& json) { json["created"] = 1.5; }), "\"created\"");
  expect_refused(changed([](auto& json) { json["created"] = UINT64_MAX; }), "\"created\"");
  expect_refused(changed([](auto& json) { json["actor"] = nullptr; }), "\"actor\" that is not a string");
  expect_refused(changed([](auto& json) { json["parent"] = "12"; }), "parent is no hash: A hash has 64");
  expect_refused(changed([](auto& json) { json["parent"] = nullptr; }), "parent is no hash");
  expect_refused(changed([](auto& json) { json["program"] = 5; }), "program is number instead of an object");
  expect_refused(changed([](auto& json) { json["program"]["hash"] = "x"; }), "\"hash\" that is no hash");
  expect_refused(changed([](auto& json) { json["globals"][0] = "i32:01"; }), "global 0 is \"i32:01\"");
  expect_refused(changed([](auto& json) { json["globals"][1] = "i31:01020304"; }), "global 1");
  expect_refused(changed([](auto& json) { json["globals"][0] = "i32:0102030G"; }), "global 0");
  expect_refused(changed([](auto& json) { json["globals"][0] = "i32"; }), "global 0");
  expect_refused(changed([](auto& json) { json["globals"] = 1; }), "\"globals\" that is not an array");
  expect_refused(changed([](auto& json) { json["models"][1].erase("name"); }), "model 1 has no member \"name\"");
  expect_refused(changed([](auto& json) { json["wasi"]["environment"][0] = "=x"; }), "variable 0 is not NAME=VALUE");
  expect_refused(changed([](auto& json) { json["wasi"]["arguments"][1] = 1; }), "item 1 is number");
  expect_refused(changed([](auto& json) { json["wasi"]["directories"][0]["read_only"] = 1; }), "true or false");
  expect_refused(changed([](auto& json) { json["determinism"].erase("seed"); }), "no member \"seed\"");
  expect_refused(changed([](auto& json) { json["numerics"]["threads"] = 1ull << 32; }), "\"threads\"");
}

TEST(Manifest, IsNotEncodedFromTextsThatAreNone) {
  Manifest manifest;
  manifest.actor = "\xFF";
  EXPECT_EQ(encode_manifest(manifest).error().message, "A text of the manifest is not UTF-8.");
  manifest = {};
  manifest.wasi.environment = {{"A=B", "c"}};
  EXPECT_EQ(encode_manifest(manifest).error().code, ErrorCode::invalid_argument);
  manifest = {};
  manifest.label = std::string(kMaxManifestSize, 'x');
  EXPECT_THAT(encode_manifest(manifest).error().message, HasSubstr("at most 4194304 are allowed"));
}

TEST(Numerics, DifferenceNamesWhatDiffers) {
  const NumericsFingerprint then{"cpu", "x86_64", "ggml 0.26", {"avx2", "avx512"}, 0};
  EXPECT_EQ(difference_in_words(then, then), "");
  const NumericsFingerprint now{"vulkan", "aarch64", "ggml 0.27", {"avx2", "sve"}, 4};
  EXPECT_EQ(
      difference_in_words(then, now),
      "Results may differ in their last bits: the device was cpu and is vulkan now; the architecture was x86_64 "
      "and is aarch64 now; the kernels' version was ggml 0.26 and is ggml 0.27 now; the processor had avx512, which "
      "this one has not; this processor has sve, which that one had not; a pass ran on any number of threads and "
      "runs on 4 threads now.");
}

}  // namespace
}  // namespace driftwood
