#include "snapshot/front.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "samples.hpp"

namespace driftwood {
namespace {

using testing::full_manifest;
using testing::hash_of;
using ::testing::HasSubstr;
using testing::value_of;

ChunkIndex some_index() {
  ChunkIndex index(100);
  for (const std::uint32_t chunk : {0u, 1u, 5u, 6u, 7u, 99u}) index.add(chunk, hash_of(std::to_string(chunk)));
  return index;
}

FrontParts mapped_parts() {
  FrontParts parts;
  parts.memory_size = 100 * kChunkSize;
  parts.manifest = value_of(encode_manifest(full_manifest()));
  parts.index = some_index().encode();
  parts.layout.files = {{hash_of("older"), hash_of("older header")}};
  parts.layout.runs = {{0, 2, 1, 7}, {5, 3, kOwnFile, 0}, {99, 1, kOwnFile, 3}};
  return parts;
}

FrontParts packed_parts() {
  FrontParts parts = mapped_parts();
  parts.encoding = Encoding::packed;
  parts.layout = {};
  parts.frame_sizes = {1, 2, 3, 4, 5, 65536};
  return parts;
}

/// The front with the zeros up to the first chunk.
std::vector<std::byte> padded(const EncodedFront& encoded) {
  std::vector<std::byte> bytes = encoded.bytes;
  bytes.resize(encoded.header.data_offset);
  return bytes;
}

Result<Front> decode(std::span<const std::byte> bytes, std::uint64_t file_size) {
  DW_TRY_ASSIGN(const Header header, decode_header(bytes.first(std::min(bytes.size(), kHeaderSize)), file_size));
  if (bytes.size() < header.data_offset) return fail(ErrorCode::corrupt, "The test's bytes end early.");
  return decode_front(header, bytes.first(header.data_offset).subspan(kHeaderSize));
}

/// Encodes parts that no writer makes, and gives what is said of them.
std::string refusal(const FrontParts& parts) {
  const auto encoded = encode_front(parts, parts.root());
  const auto front = decode(padded(encoded), encoded.header.file_size);
  return front ? "" : front.error().message;
}

TEST(Front, ComesBackAsItWasEncoded) {
  for (FrontParts parts : {mapped_parts(), packed_parts()}) {
    parts.signature = SigningKey::generate().sign(parts.root());
    const auto encoded = encode_front(parts, parts.root());
    const Front front = value_of(decode(padded(encoded), encoded.header.file_size));
    EXPECT_EQ(front.manifest, full_manifest());
    EXPECT_EQ(front.index, some_index());
    EXPECT_EQ(front.layout, parts.layout);
    EXPECT_EQ(front.frame_sizes, parts.frame_sizes);
    EXPECT_EQ(front.signature, parts.signature);
    EXPECT_EQ(front.header.root, parts.root());
    EXPECT_EQ(front.header.memory_size, parts.memory_size);
  }
}

TEST(Front, RootDoesNotSayWhereTheChunksLie) {
  EXPECT_EQ(mapped_parts().root(), packed_parts().root());
  const auto mapped = encode_front(mapped_parts(), mapped_parts().root());
  FrontParts elsewhere = mapped_parts();
  elsewhere.layout.files[0].root = hash_of("another");
  const auto other = encode_front(elsewhere, elsewhere.root());
  EXPECT_EQ(mapped.header.root, other.header.root);
  EXPECT_NE(mapped.header.header_hash, other.header.header_hash);
}

TEST(Front, RootCoversMemorySizeManifestAndHashes) {
  std::set<Hash> roots = {mapped_parts().root()};
  FrontParts parts = mapped_parts();
  parts.memory_size += kChunkSize;
  roots.insert(parts.root());
  parts = mapped_parts();
  parts.manifest[10] ^= 1;
  roots.insert(parts.root());
  parts = mapped_parts();
  parts.index.back() ^= std::byte{1};
  roots.insert(parts.root());
  EXPECT_EQ(roots.size(), 4u);
}

TEST(Front, RefusesEachFlippedBit) {
  for (FrontParts parts : {mapped_parts(), packed_parts()}) {
    parts.signature = SigningKey::generate().sign(parts.root());
    const auto encoded = encode_front(parts, parts.root());
    for (std::size_t at = 0; at < encoded.header.data_offset; at = at < 3000 ? at + 1 : at + 997) {
      auto bytes = padded(encoded);
      bytes[at] ^= static_cast<std::byte>(1u << (at % 8));
      const auto front = decode(bytes, encoded.header.file_size);
      ASSERT_FALSE(front) << "byte " << at;
      EXPECT_EQ(front.error().message.back(), '.');
    }
  }
}

TEST(Front, RefusesEachShorterFile) {
  const auto encoded = encode_front(packed_parts(), packed_parts().root());
  for (std::size_t size = 0; size < encoded.header.file_size; size += size < 200 ? 1 : 61) {
    const auto bytes = std::span(encoded.bytes).first(std::min(size, encoded.bytes.size()));
    const auto front = decode(bytes, size);
    ASSERT_FALSE(front) << size << " bytes";
    EXPECT_EQ(front.error().code, ErrorCode::corrupt);
  }
}

TEST(Front, SaysThatAFileIsOfAnotherVersion) {
  auto bytes = padded(encode_front(mapped_parts(), mapped_parts().root()));
  bytes[8] = std::byte{2};
  const auto front = decode(bytes, bytes.size());
  EXPECT_EQ(front.error().code, ErrorCode::incompatible);
  EXPECT_EQ(front.error().message, "It is a snapshot of format version 2, and this build reads version 1.");
}

TEST(Front, RefusesLayoutsThatDoNotHoldTogether) {
  EXPECT_EQ(refusal(mapped_parts()), "");
  const auto with = [](auto change) {
    FrontParts parts = mapped_parts();
    change(parts);
    return refusal(parts);
  };
  EXPECT_THAT(with([](auto& p) { p.layout.runs.erase(p.layout.runs.begin()); }), HasSubstr("Chunk 0 is not zero"));
  EXPECT_THAT(with([](auto& p) {
                p.layout.runs[1].count = 2;
                p.layout.runs[2].slot = 2;
              }),
              HasSubstr("Chunk 7 is not zero"));
  EXPECT_THAT(with([](auto& p) { p.layout.runs[0].file = 2; }), HasSubstr("file 2"));
  EXPECT_THAT(with([](auto& p) { p.layout.runs[0].count = 6; }), HasSubstr("out of order"));
  EXPECT_THAT(with([](auto& p) { p.layout.runs[2].count = 2; }), HasSubstr("memory's 100 chunks"));
  EXPECT_THAT(with([](auto& p) { p.layout.runs[2].slot = 0; }), HasSubstr("slot 0"));
  EXPECT_THAT(with([](auto& p) { p.layout.files.resize(65); }), HasSubstr("65 other files; at most 1024 of 64"));
  EXPECT_THAT(with([](auto& p) { p.frame_sizes = {1}; }), HasSubstr("not packed names frames"));
  EXPECT_THAT(with([](auto& p) { p.memory_size += 1; }), HasSubstr("memory size (6553601)"));
  EXPECT_THAT(with([](auto& p) { p.memory_size = std::uint64_t{1} << 33; }), HasSubstr("memory size"));
  EXPECT_THAT(with([](auto& p) { p.memory_size = 90 * kChunkSize; }), HasSubstr("memory's 90 chunks"));
  EXPECT_THAT(with([](auto& p) { p.index.pop_back(); }), HasSubstr("do not hold 3 spans and 6 hashes"));
}

TEST(Front, RefusesFramesThatDoNotFit) {
  const auto with = [](auto change) {
    FrontParts parts = packed_parts();
    change(parts);
    return refusal(parts);
  };
  EXPECT_THAT(with([](auto& p) { p.frame_sizes.pop_back(); }), HasSubstr("frames"));
  EXPECT_THAT(with([](auto& p) { p.frame_sizes[0] = 65537; }), HasSubstr("frames"));
  EXPECT_THAT(with([](auto& p) { p.layout.runs = {{0, 1, kOwnFile, 0}}; }), HasSubstr("frames"));
}

TEST(Front, RefusesASignatureOfAnotherSnapshot) {
  FrontParts parts = mapped_parts();
  parts.signature = SigningKey::generate().sign(hash_of("another"));
  EXPECT_THAT(refusal(parts), HasSubstr("is not one of this snapshot"));
}

TEST(ChunkIndex, RefusesSpansThatTouchOrLieOutside) {
  const auto decode_spans = [](std::vector<std::uint32_t> numbers, std::size_t hashes) {
    std::vector<std::byte> bytes;
    for (const std::uint32_t n : numbers) {
      for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<std::byte>(n >> (8 * i)));
    }
    bytes.resize(bytes.size() + 32 * hashes);
    return ChunkIndex::decode(bytes, 10);
  };
  EXPECT_TRUE(decode_spans({2, 3, 0, 1, 2, 2}, 3));
  EXPECT_FALSE(decode_spans({2, 3, 0, 2, 2, 1}, 3)) << "two spans that touch are one";
  EXPECT_FALSE(decode_spans({2, 3, 4, 2, 0, 1}, 3));
  EXPECT_FALSE(decode_spans({1, 1, 10, 1}, 1));
  EXPECT_FALSE(decode_spans({1, 1, 4294967295u, 2}, 1));
  EXPECT_FALSE(decode_spans({1, 0, 0, 0}, 0));
  EXPECT_FALSE(decode_spans({1, 2, 0, 1}, 2)) << "a hash too many";
  EXPECT_FALSE(decode_spans({4294967295u, 4294967295u}, 0));
}

}  // namespace
}  // namespace driftwood
