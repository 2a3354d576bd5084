// A Context's rows as tensors: bit for bit there and back, and nothing changed by a file that does not fit.
#include "llm/kv_tensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "llm/context.hpp"

namespace driftwood {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

KvModel small_model() {
  KvModel model{"small", hash_bytes(std::as_bytes(std::span("small"))), {}};
  model.hyperparameters.n_vocab = 100;
  model.hyperparameters.n_layer = 3;
  model.hyperparameters.n_head = 4;
  model.hyperparameters.n_head_kv = 2;
  model.hyperparameters.head_dim = 64;
  return model;
}

/// A Context of random rows.
std::vector<std::byte> make_context(KvType type, std::uint32_t n_ctx, std::uint32_t n_tokens, unsigned seed) {
  const KvModel model = small_model();
  const auto layout = *make_context_layout(model.hyperparameters, n_ctx, type);
  std::vector<std::byte> bytes(layout.size);
  std::mt19937 random(seed);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  EXPECT_TRUE(init_context(bytes, layout, model.hash));
  set_context_tokens(bytes, n_tokens);
  return bytes;
}

std::string write(std::span<const std::byte> context, const std::vector<std::int32_t>& tokens = {},
                  const KvModel& model = small_model()) {
  std::string file;
  const auto written =
      write_kv_tensors(context, model, tokens, {{"note", "n"}}, [&](std::span<const std::byte> bytes) -> Result<void> {
        file.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
      });
  EXPECT_TRUE(written) << written.error().message;
  return file;
}

Result<Safetensors> open(const std::string& bytes) {
  return Safetensors::read(bytes.size(), [bytes](std::uint64_t offset, std::span<std::byte> out) -> Result<void> {
    std::ranges::copy(std::as_bytes(std::span(bytes)).subspan(offset, out.size()), out.begin());
    return {};
  });
}

/// The rows of the Context's tokens, padding left out.
std::vector<std::byte> rows_of(std::span<const std::byte> context) {
  const auto checked = *check_context(context, small_model().hyperparameters, small_model().hash);
  const ContextLayout& layout = checked.layout;
  std::vector<std::byte> rows;
  for (std::uint32_t token = 0; token < checked.n_tokens; ++token) {
    const auto record = context.subspan(layout.kv_offset + std::size_t{token} * layout.token_stride,
                                        std::size_t{2} * layout.row_bytes * layout.n_layer);
    rows.insert(rows.end(), record.begin(), record.end());
  }
  return rows;
}

class KvTensors : public ::testing::TestWithParam<KvType> {};

TEST_P(KvTensors, RowsComeBackBitForBitInAContextOfAnotherLength) {
  const auto context = make_context(GetParam(), 8, 5, 1);
  auto other = make_context(GetParam(), 16, 2, 2);
  const auto file = open(write(context, {1, 2, 3, 4, 99}));
  ASSERT_TRUE(file) << file.error().message;
  const auto change = read_kv_tensors(*file, other, small_model());
  ASSERT_TRUE(change) << change.error().message;
  EXPECT_EQ(change->n_tokens, 5u);
  EXPECT_EQ(change->changed, 5u);
  EXPECT_THAT(change->tokens, ElementsAre(1, 2, 3, 4, 99));
  EXPECT_EQ(rows_of(other), rows_of(context));
}

TEST_P(KvTensors, WhatIsThereAlreadyIsNotWritten) {
  auto context = make_context(GetParam(), 8, 5, 1);
  const std::string file = write(context);
  const auto before = context;
  EXPECT_EQ(read_kv_tensors(*open(file), context, small_model())->changed, 0u);
  EXPECT_EQ(context, before);
  context.back() ^= std::byte{1};  // beyond the tokens
  context[small_model().hyperparameters.n_layer + 4096] ^= std::byte{1};
  EXPECT_EQ(read_kv_tensors(*open(file), context, small_model())->changed, 1u);
  EXPECT_EQ(rows_of(context), rows_of(before));
}

TEST_P(KvTensors, EmptyContextComesBackEmpty) {
  const auto empty = make_context(GetParam(), 8, 0, 1);
  auto other = make_context(GetParam(), 8, 3, 2);
  const auto change = read_kv_tensors(*open(write(empty)), other, small_model());
  ASSERT_TRUE(change) << change.error().message;
  EXPECT_EQ(check_context(other, small_model().hyperparameters, small_model().hash)->n_tokens, 0u);
}

INSTANTIATE_TEST_SUITE_P(Types, KvTensors, ::testing::Values(KvType::f16, KvType::q8_0),
                         [](const auto& chosen) { return chosen.param == KvType::f16 ? "f16" : "q8_0"; });

TEST(KvTensorsFile, SaysWhatItIsOf) {
  const auto file = open(write(make_context(KvType::q8_0, 8, 5, 1)));
  const auto& metadata = file->metadata();
  EXPECT_EQ(metadata.at("model"), "small");
  EXPECT_EQ(metadata.at("model_sha256"), small_model().hash.to_hex());
  EXPECT_EQ(metadata.at("kv_type"), "q8_0");
  EXPECT_EQ(metadata.at("n_tokens"), "5");
  EXPECT_EQ(metadata.at("note"), "n");
  EXPECT_THAT(file->find("layers.2.value")->shape, ElementsAre(5, 2, 64));
  EXPECT_THAT(file->find("layers.2.value_scale")->shape, ElementsAre(5, 2, 2));
  EXPECT_EQ(file->find("tokens"), nullptr);
}

/// A file that was changed in one way is refused, and the Context left as it is.
void expect_refused(ErrorCode code, const std::string& sentence, const std::string& bytes,
                    std::vector<std::byte> context = make_context(KvType::f16, 8, 5, 7),
                    const KvModel& model = small_model()) {
  const auto file = open(bytes);
  ASSERT_TRUE(file) << file.error().message;
  const auto before = context;
  const auto change = read_kv_tensors(*file, context, model);
  ASSERT_FALSE(change) << sentence;
  EXPECT_EQ(change.error().code, code) << change.error().message;
  EXPECT_THAT(change.error().message, HasSubstr(sentence));
  EXPECT_EQ(context, before);
}

std::string replaced(std::string bytes, const std::string& from, const std::string& to) {
  EXPECT_EQ(from.size(), to.size());
  const std::size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return bytes.replace(at, from.size(), to);
}

TEST(KvTensorsFile, WrongOnesAreRefusedWithASentence) {
  const std::string good = write(make_context(KvType::f16, 8, 5, 1), {1, 2, 3, 4, 5});
  expect_refused(ErrorCode::corrupt, "do not say its \"format\"", replaced(good, "\"format\"", "\"formal\""));
  expect_refused(ErrorCode::corrupt, "\"driftwood-vk\"", replaced(good, "driftwood-kv", "driftwood-vk"));
  expect_refused(ErrorCode::incompatible, "version 2", replaced(good, "\"version\":\"1\"", "\"version\":\"2\""));
  expect_refused(ErrorCode::corrupt, "no tensor \"layers.1.key\"", replaced(good, "layers.1.key", "layers.9.key"));
  expect_refused(ErrorCode::corrupt, "no tensor \"layers.0.key\"", replaced(good, "layers.0.key", "layers.9.key"));
  expect_refused(ErrorCode::corrupt, "\"layers.1.key\" is F16 [5, 64, 2], where it must be F16 [5, 2, 64]",
                 replaced(good, "\"layers.1.key\":{\"dtype\":\"F16\",\"shape\":[5,2,64]",
                          "\"layers.1.key\":{\"dtype\":\"F16\",\"shape\":[5,64,2]"));
  expect_refused(ErrorCode::corrupt, "\"layers.1.key\" is I16",
                 replaced(good, "\"layers.1.key\":{\"dtype\":\"F16\"", "\"layers.1.key\":{\"dtype\":\"I16\""));
  expect_refused(ErrorCode::corrupt, "\"tokens\" is I32 [5]",
                 replaced(good, "\"shape\":[5,2,64]", "\"shape\":[4,2,80]"));
  expect_refused(ErrorCode::corrupt, "7 tensors", replaced(good, "\"tokens\"", "\"tokenz\""));
}

TEST(KvTensorsFile, WhatDoesNotBelongToTheContextIsRefused) {
  const std::string good = write(make_context(KvType::f16, 8, 5, 1));
  KvModel other = small_model();
  other.hash = hash_bytes(std::as_bytes(std::span("other")));
  auto of_other = make_context(KvType::f16, 8, 5, 7);
  EXPECT_TRUE(init_context(of_other, *make_context_layout(other.hyperparameters, 8, KvType::f16), other.hash));
  expect_refused(ErrorCode::incompatible, other.hash.to_hex(), good, of_other, other);
  expect_refused(ErrorCode::incompatible, "are f16, and the Context's q8_0", good, make_context(KvType::q8_0, 8, 5, 1));
  expect_refused(ErrorCode::incompatible, "are q8_0, and the Context's f16",
                 write(make_context(KvType::q8_0, 8, 5, 1)));
  expect_refused(ErrorCode::invalid_argument, "5 tokens; the Context holds 4", good,
                 make_context(KvType::f16, 4, 1, 1));
  expect_refused(ErrorCode::corrupt, "no Context here", good, std::vector<std::byte>(100'000));
}

TEST(KvTensorsFile, TokensAreHeldToTheVocabulary) {
  const auto context = make_context(KvType::f16, 8, 2, 1);
  expect_refused(ErrorCode::corrupt, "token 1 is 100, and the model's lie between 0 and 99", write(context, {0, 100}));
  expect_refused(ErrorCode::corrupt, "token 0 is -1", write(context, {-1, 1}));
  std::string file;
  const auto written = write_kv_tensors(context, small_model(), std::vector<std::int32_t>{1, 2, 3}, {},
                                        [](std::span<const std::byte>) { return Result<void>(); });
  EXPECT_EQ(written.error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace driftwood
