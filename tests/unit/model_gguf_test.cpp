// The GGUF reader against sound, truncated, altered and contradictory files.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/bytes.hpp"
#include "model/family.hpp"
#include "model/gguf.hpp"
#include "model/vocabulary_check.hpp"
#include "model/weights.hpp"
#include "tools/gguf_writer.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using ::testing::AllOf;
using testing::GgufWriter;
using ::testing::HasSubstr;

GgufWriter small_file() {
  GgufWriter writer;
  writer.add("general.architecture", "llama");
  writer.add("llama.block_count", std::uint32_t{2});
  writer.add("an.epsilon", 0.5F);
  writer.add("a.flag", true);
  writer.add("some.words", std::vector<std::string>{"one", "", "three"});
  writer.add_tensor("first", GGML_TYPE_F32, {3, 2}, [](std::span<std::byte> data) { data[0] = std::byte{7}; });
  writer.add_tensor("second", GGML_TYPE_Q4_0, {64}, {});
  return writer;
}

/// The error of parsing these bytes; a test failure if there is none.
Error error_of(std::span<const std::byte> bytes) {
  const auto parsed = Gguf::parse(bytes);
  EXPECT_FALSE(parsed);
  return parsed ? Error{} : parsed.error();
}

template <typename T>
void overwrite(std::vector<std::byte>& bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(value));
}

/// Where `text` lies in the bytes.
std::size_t position_of(const std::vector<std::byte>& bytes, std::string_view text) {
  const auto wanted = std::as_bytes(std::span(text));
  return static_cast<std::size_t>(std::ranges::search(bytes, wanted).begin() - bytes.begin());
}

TEST(Gguf, ReadsBackWhatWasWritten) {
  const auto bytes = small_file().bytes();
  const auto gguf = Gguf::parse(bytes);
  ASSERT_TRUE(gguf) << gguf.error().to_string();
  EXPECT_EQ(gguf->version(), 3U);
  EXPECT_EQ(gguf->find("general.architecture")->as_string(), "llama");
  EXPECT_EQ(gguf->find("llama.block_count")->as_unsigned(), 2U);
  EXPECT_EQ(gguf->find("an.epsilon")->as_float(), 0.5);
  EXPECT_EQ(gguf->find("a.flag")->as_bool(), true);
  EXPECT_THAT(gguf->find("some.words")->strings(), ::testing::ElementsAre("one", "", "three"));
  EXPECT_EQ(gguf->find("nothing"), nullptr);

  const GgufTensor* first = gguf->find_tensor("first");
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->shape, (std::array<std::int64_t, 4>{3, 2, 1, 1}));
  EXPECT_EQ(first->size, 24U);
  EXPECT_EQ(bytes[first->offset], std::byte{7});
  const GgufTensor* second = gguf->find_tensor("second");
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->type, GGML_TYPE_Q4_0);
  EXPECT_TRUE(is_aligned(second->offset, 32));
}

TEST(Gguf, ValuesOfAnotherTypeAreNotConverted) {
  const auto bytes = small_file().bytes();
  const auto gguf = *Gguf::parse(bytes);
  EXPECT_EQ(gguf.find("a.flag")->as_unsigned(), std::nullopt);
  EXPECT_EQ(gguf.find("an.epsilon")->as_unsigned(), std::nullopt);
  EXPECT_EQ(gguf.find("llama.block_count")->as_float(), std::nullopt);
  EXPECT_EQ(gguf.find("some.words")->as_string(), std::nullopt);
  EXPECT_TRUE(gguf.find("general.architecture")->strings().empty());
}

TEST(Gguf, EveryTruncationIsCorruptAndSaysWhere) {
  const auto bytes = small_file().bytes();
  const auto gguf = *Gguf::parse(bytes);
  const GgufTensor& last = gguf.tensors().back();
  const std::size_t needed = last.offset + last.size;
  for (std::size_t size = 0; size < needed; ++size) {
    // A copy of that very size, so that a read beyond it is seen by the address sanitizer.
    const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    const Error error = error_of(cut);
    EXPECT_EQ(error.code, ErrorCode::corrupt) << size << ": " << error.message;
    EXPECT_THAT(error.message, HasSubstr(std::to_string(size))) << size;
  }
  EXPECT_TRUE(Gguf::parse(std::span(bytes).first(needed)));
}

TEST(Gguf, ForeignFilesAreRefusedByMagicVersionAndByteOrder) {
  auto bytes = small_file().bytes();
  auto zip = bytes;
  overwrite(zip, 0, std::array{'P', 'K', '\3', '\4'});
  EXPECT_THAT(error_of(zip).message, HasSubstr("PK??"));

  overwrite(bytes, 4, std::uint32_t{4});
  EXPECT_EQ(error_of(bytes).code, ErrorCode::unsupported);
  overwrite(bytes, 4, std::uint32_t{0x03000000});
  EXPECT_THAT(error_of(bytes).message, HasSubstr("big-endian"));
}

TEST(Gguf, AbsurdCountsAreRefusedBeforeAnythingIsAllocated) {
  const auto sound = small_file().bytes();
  for (const std::size_t offset : {8, 16}) {
    auto bytes = sound;
    overwrite(bytes, offset, std::uint64_t{1} << 62);
    EXPECT_EQ(error_of(bytes).code, ErrorCode::corrupt);
  }
  // The key's length, an array's count, and a string's length inside the array.
  auto bytes = sound;
  overwrite(bytes, position_of(sound, "general.architecture") - 8, UINT64_MAX);
  EXPECT_EQ(error_of(bytes).code, ErrorCode::corrupt);
  const std::size_t words = position_of(sound, "some.words") + 10;
  for (const std::size_t offset : {words + 8, words + 16}) {
    bytes = sound;
    overwrite(bytes, offset, UINT64_MAX);
    EXPECT_EQ(error_of(bytes).code, ErrorCode::corrupt);
  }
}

TEST(Gguf, TensorsThatOverlapLeaveGapsOrAreMisalignedAreCorrupt) {
  const auto sound = small_file().bytes();
  const std::size_t offset = position_of(sound, "second") + 6 + 4 + 8 + 4;
  std::uint64_t stored = 0;
  std::memcpy(&stored, sound.data() + offset, sizeof(stored));
  ASSERT_EQ(stored, 32U);
  for (const std::uint64_t wrong : {std::uint64_t{0}, std::uint64_t{24}, std::uint64_t{64}, UINT64_MAX - 31}) {
    auto bytes = sound;
    overwrite(bytes, offset, wrong);
    const Error error = error_of(bytes);
    EXPECT_EQ(error.code, ErrorCode::corrupt);
    EXPECT_THAT(error.message, AllOf(HasSubstr("second"), HasSubstr(std::to_string(wrong))));
  }
}

TEST(Gguf, ShapesThatOverflowOrDoNotFitTheirBlocksAreCorrupt) {
  const auto sound = small_file().bytes();
  const std::size_t shape = position_of(sound, "second") + 6 + 4;
  for (const std::int64_t wrong : {std::int64_t{0}, std::int64_t{-64}, std::int64_t{33}, INT64_MAX, INT64_MAX - 31}) {
    auto bytes = sound;
    overwrite(bytes, shape, wrong);
    EXPECT_EQ(error_of(bytes).code, ErrorCode::corrupt) << wrong;
  }
  auto bytes = sound;
  overwrite(bytes, shape - 4, std::uint32_t{5});
  EXPECT_THAT(error_of(bytes).message, HasSubstr("dimensions (5)"));
}

TEST(Gguf, TensorTypesThatGgmlDoesNotKnowAreUnsupportedByName) {
  const auto sound = small_file().bytes();
  constexpr std::uint32_t kRemovedType = 4;
  for (const std::uint32_t wrong : {kRemovedType, std::uint32_t{GGML_TYPE_COUNT}, UINT32_MAX}) {
    auto bytes = sound;
    overwrite(bytes, position_of(sound, "second") + 6 + 4 + 8, wrong);
    const Error error = error_of(bytes);
    EXPECT_EQ(error.code, ErrorCode::unsupported);
    EXPECT_THAT(error.message, AllOf(HasSubstr("second"), HasSubstr(std::to_string(wrong))));
  }
}

TEST(Gguf, KeysAndTensorNamesAppearOnce) {
  GgufWriter keys = small_file();
  keys.add("a.flag", false);
  EXPECT_THAT(error_of(keys.bytes()).message, HasSubstr("a.flag"));
  GgufWriter names = small_file();
  names.add_tensor("first", GGML_TYPE_F32, {1}, {});
  EXPECT_THAT(error_of(names.bytes()).message, HasSubstr("first"));
}

TEST(Gguf, AlignmentIsAPowerOfTwoThatKernelsCanUse) {
  for (const std::uint32_t wrong : {0U, 1U, 16U, 48U, 1U << 20}) {
    GgufWriter writer = small_file();
    writer.add("general.alignment", wrong);
    EXPECT_THAT(error_of(writer.bytes()).message, HasSubstr("general.alignment")) << wrong;
  }
}

TEST(Gguf, OnePartOfASplitModelIsUnsupported) {
  GgufWriter writer = small_file();
  writer.add("split.count", std::uint32_t{3});
  EXPECT_EQ(error_of(writer.bytes()).code, ErrorCode::unsupported);
}

/// Goes as far with these bytes as opening a model does before it maps weights.
void read_all(std::span<const std::byte> bytes) {
  const auto gguf = Gguf::parse(bytes);
  if (!gguf) return;
  const auto family = family_of(*gguf);
  if (!family) return;
  const auto hyperparameters = read_hyperparameters(*gguf, **family);
  if (hyperparameters) (void)check_weights(*gguf, **family, *hyperparameters);
  (void)checked_vocabulary(*gguf);
}

TEST(Gguf, RandomDamageNeverCrashesTheReader) {
  std::mt19937_64 random(20);
  for (const std::string_view architecture : {"llama", "gemma3", "phi3"}) {
    const auto writer = *testing::random_model(testing::representative_options(architecture));
    const auto sound = writer.bytes();
    const std::size_t header = writer.header().size();
    for (int round = 0; round < 1500; ++round) {
      auto bytes = sound;
      for (std::uint64_t flips = 1 + random() % 8; flips > 0; --flips) {
        bytes[random() % header] ^= static_cast<std::byte>(1U << (random() % 8));
      }
      if (round % 8 == 0) bytes.resize(random() % bytes.size());
      bytes.shrink_to_fit();
      read_all(bytes);
    }
  }
}

}  // namespace
}  // namespace driftwood
