// Safetensors files: what is read, and the sentence for each thing that is wrong with one.
#include "model/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <string>

#include "support/temporary_folder.hpp"

namespace driftwood {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + rest;
}

/// A file of this header and as many bytes of data.
std::string file_of(const std::string& header, std::size_t data = 0) {
  return with_length(header.size(), header + std::string(data, 'x'));
}

Result<Safetensors> read(const std::string& bytes) {
  return Safetensors::read(bytes.size(), [bytes](std::uint64_t offset, std::span<std::byte> out) -> Result<void> {
    EXPECT_LE(offset + out.size(), bytes.size());
    std::memcpy(out.data(), bytes.data() + offset, out.size());
    return {};
  });
}

void expect_refused(const std::string& bytes, const std::string& sentence) {
  const auto file = read(bytes);
  ASSERT_FALSE(file) << sentence;
  EXPECT_EQ(file.error().code, ErrorCode::corrupt);
  EXPECT_THAT(file.error().message, HasSubstr(sentence));
}

TEST(Safetensors, GivesNamesShapesTypesAndBytes) {
  const std::string header = R"({"b":{"dtype":"F16","shape":[2,1],"data_offsets":[1,5]},"__metadata__":{"who":"Ada"},)"
                             R"("a":{"shape":[],"data_offsets":[0,1],"dtype":"I8"}}  )";
  const auto file = read(with_length(header.size(), header + "1abcd"));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->metadata(), (std::map<std::string, std::string>{{"who", "Ada"}}));
  ASSERT_THAT(file->tensors(), SizeIs(2));
  EXPECT_EQ(file->tensors()[0].name, "a");
  const SafetensorsTensor* b = file->find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype, "F16");
  EXPECT_THAT(b->shape, ElementsAre(2, 1));
  std::string bytes(3, '\0');
  ASSERT_TRUE(file->read_bytes(*b, 1, std::as_writable_bytes(std::span(bytes))));
  EXPECT_EQ(bytes, "bcd");
  EXPECT_EQ(file->find("c"), nullptr);
}

TEST(Safetensors, EncodedHeaderIsReadBack) {
  const std::vector<SafetensorsTensor> tensors = {{"one", "I32", {3}, 0, 12}, {"two", "F16", {0, 4}, 0, 0}};
  const std::string header = encode_safetensors_header({{"k", "v\n\xff"}}, tensors);
  EXPECT_EQ(header.size() % 8, 0u);
  const auto file = read(header + std::string(12, 'x'));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->metadata().at("k"), "v\n\xef\xbf\xbd");
  EXPECT_EQ(file->find("one")->offset, header.size());
  EXPECT_EQ(file->find("two")->size, 0u);
}

TEST(Safetensors, LengthsThatCannotBeAreRefused) {
  expect_refused("1234567", "7 bytes");
  expect_refused(with_length(3, "{}"), "exceeds the file, which has 10 bytes");
  expect_refused(with_length(UINT64_MAX, "{}"), "18446744073709551615");
  expect_refused(with_length(kMaxSafetensorsHeader + 1, "{}"), "the largest that is read");
}

TEST(Safetensors, HeadersThatAreNotOfTheFormatAreRefused) {
  expect_refused(file_of(""), "does not begin");
  expect_refused(file_of(" {}"), "does not begin");
  expect_refused(file_of("{"), "not JSON");
  expect_refused(file_of("{} x"), "not JSON");
  expect_refused(file_of("{\"\xff\":{}}"), "not JSON");
  expect_refused(file_of(R"({"a":1})"), "\"a\" is not an object");
  expect_refused(file_of(R"({"a":[]})"), "\"a\" is not an object");
  expect_refused(file_of(R"({"__metadata__":{"a":1}})"), "The metadata \"a\" is not a text");
  expect_refused(file_of(R"({"__metadata__":{"a":{}}})"), "The metadata \"a\" is not a text");
  expect_refused(file_of(R"({"__metadata__":{},"__metadata__":{}})"), "twice");
  expect_refused(file_of(R"({"__metadata__":{"a":"","a":""}})"), "member \"a\" twice");
  expect_refused(file_of(R"({"a":{"color":1}})"), "member \"color\"");
  expect_refused(file_of(R"({"a":{"dtype":"I8","shape":[]}})"), "lacks");
  expect_refused(file_of(R"({"a":{"dtype":"I8","shape":[],"data_offsets":[0]}})", 1), "lacks");
  expect_refused(file_of(R"({"a":{"dtype":"I8","shape":[],"data_offsets":[0,1,2]}})", 1), "more than 2");
  expect_refused(file_of(R"({"a":{"dtype":"I8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1), "more than 8");
  expect_refused(file_of(R"({"a":{"dtype":8,"shape":[],"data_offsets":[0,1]}})", 1), "The dtype");
  expect_refused(file_of(R"({"a":{"dtype":"I8","shape":["1"],"data_offsets":[0,1]}})", 1), "The shape");
  expect_refused(file_of(R"({"a":{"dtype":"I8","shape":[[1]],"data_offsets":[0,1]}})", 1), "The shape");
  expect_refused(file_of(R"({"a":{"dtype":"I8","shape":[-1],"data_offsets":[0,1]}})", 1), "negative number (-1)");
  expect_refused(file_of(R"({"a":{"dtype":"I8","shape":[1.0],"data_offsets":[0,1]}})", 1), "The shape");
  expect_refused(file_of("{\"" + std::string(257, 'n') + "\":{}}"), "257 bytes");
  expect_refused(file_of("{" + std::string(100'000, '[')), "not JSON");
  expect_refused(file_of("{\"a\":{\"shape\":" + std::string(100'000, '[')), "The shape");
}

TEST(Safetensors, OffsetsThatDoNotFitAreRefused) {
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets,
                      std::size_t data) {
    return file_of(R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}",
                   data);
  };
  expect_refused(one("X8", "[1]", "[0,1]", 1), "\"X8\"");
  expect_refused(one("I8", "[2]", "[0,1]", 1), "takes 2 bytes, and its offsets leave it 1");
  expect_refused(one("F16", "[4294967296,4294967296]", "[0,1]", 1), "more than can be counted");
  expect_refused(one("I8", "[1]", "[1,0]", 1), "before it begins");
  expect_refused(one("I8", "[1]", "[1,2]", 2), "gaps");
  expect_refused(one("I8", "[4]", "[0,4]", 3), "of which the file has 3");
  expect_refused(one("I8", "[4]", "[0,4]", 5), "of which the file has 5");
  expect_refused(one("I8", "[18446744073709551615]", "[0,18446744073709551615]", 1), "of which the file has 1");
  expect_refused(file_of(R"({"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},)"
                         R"("b":{"dtype":"I8","shape":[2],"data_offsets":[1,3]}})",
                         3),
                 "neither overlap");
}

TEST(Safetensors, FilesAreOpenedByPath) {
  const TemporaryFolder folder;
  EXPECT_EQ(Safetensors::open(folder.path() / "gone").error().code, ErrorCode::not_found);
  EXPECT_EQ(Safetensors::open(folder.path()).error().code, ErrorCode::invalid_argument);
  const auto path = folder.path() / "file";
  std::ofstream(path) << "no tensors here";
  const auto wrong = Safetensors::open(path);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr(path.string()));
  std::ofstream(path, std::ios::trunc) << file_of(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1);
  ASSERT_TRUE(Safetensors::open(path));
}

}  // namespace
}  // namespace driftwood
