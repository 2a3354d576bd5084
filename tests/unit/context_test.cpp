// The Context's layout, and the checks of a header that a guest may have written.
#include "llm/context.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#define DW_HOST
#include "driftwood.h"
#include "llm/top_k.hpp"

namespace driftwood {
namespace {

using ::testing::HasSubstr;

/// SmolLM2-135M.
Hyperparameters smollm2() {
  Hyperparameters model;
  model.n_layer = 30;
  model.n_head = 9;
  model.n_head_kv = 3;
  model.head_dim = 64;
  return model;
}

const Hash kModel = hash_bytes(std::as_bytes(std::span("a model")));

class ContextHeader : public ::testing::Test {
 protected:
  void SetUp() override {
    layout_ = *make_context_layout(smollm2(), 8, KvType::f16);
    bytes_.assign(layout_.size, std::byte{0x5a});
    ASSERT_TRUE(init_context(bytes_, layout_, kModel));
  }

  void change(const std::function<void(dw_context_header&)>& edit) {
    dw_context_header header;
    std::memcpy(&header, bytes_.data(), sizeof(header));
    edit(header);
    std::memcpy(bytes_.data(), &header, sizeof(header));
  }
  void refuses(ErrorCode code, std::string_view sentence, const std::function<void(dw_context_header&)>& edit) {
    const std::vector<std::byte> before = bytes_;
    change(edit);
    const auto checked = check_context(bytes_, smollm2(), kModel);
    ASSERT_FALSE(checked) << sentence;
    EXPECT_EQ(checked.error().code, code) << checked.error().message;
    EXPECT_THAT(checked.error().message, HasSubstr(sentence));
    bytes_ = before;
  }

  ContextLayout layout_;
  std::vector<std::byte> bytes_;
};

TEST(ContextLayout, ATokensRowsLieTogether) {
  const auto layout = make_context_layout(smollm2(), 100, KvType::f16);
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->row_bytes, 3U * 64 * 2);
  EXPECT_EQ(layout->layer_offset(1) - layout->layer_offset(0), 2U * layout->row_bytes);
  EXPECT_EQ(layout->token_stride, 30U * 2 * 384 + 64) << "an odd number of cache lines";
  EXPECT_EQ(layout->kv_offset, 4096U);
  EXPECT_EQ(layout->size, 4096U + 100 * 23104U);
}

TEST(ContextLayout, VersionOneHadRecordsOfAnyNumberOfCacheLines) {
  const auto layout = make_context_layout(smollm2(), 100, KvType::f16, 1);
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->version, 1U);
  EXPECT_EQ(layout->token_stride, 23040U);
  EXPECT_EQ(layout->size, 4096U + 100 * 23040U);
}

TEST(ContextLayout, Q8RowsAreWholeBlocksAndStridesWholeCacheLines) {
  const auto layout = make_context_layout(smollm2(), 100, KvType::q8_0);
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->row_bytes, 3U * 64 / 32 * 34);
  EXPECT_EQ(layout->token_stride % 128, 64U);
  EXPECT_GE(layout->token_stride, 30U * 2 * layout->row_bytes);
  EXPECT_LT(layout->token_stride, 30U * 2 * layout->row_bytes + 128);
}

TEST(ContextLayout, RefusesLengthsOutOfRange) {
  EXPECT_EQ(make_context_layout(smollm2(), 0, KvType::f16).error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(make_context_layout(smollm2(), 1U << 20, KvType::f16));
  const auto longer = make_context_layout(smollm2(), (1U << 20) + 1, KvType::f16);
  ASSERT_FALSE(longer);
  EXPECT_THAT(longer.error().message, HasSubstr("(1048577 tokens) must lie between 1 and 1048576"));
}

TEST(ContextLayout, RefusesHeadsThatAreNoWholeBlocksInQ8) {
  Hyperparameters model = smollm2();
  model.head_dim = 48;
  EXPECT_EQ(make_context_layout(model, 8, KvType::q8_0).error().code, ErrorCode::unsupported);
  EXPECT_TRUE(make_context_layout(model, 8, KvType::f16));
}

TEST(ContextLayout, RefusesRecordsBeyondFourGibibytes) {
  Hyperparameters model = smollm2();
  model.n_layer = 1U << 20;
  model.n_head_kv = 64;
  EXPECT_EQ(make_context_layout(model, 8, KvType::f16).error().code, ErrorCode::unsupported);
}

TEST_F(ContextHeader, AnEmptyContextPasses) {
  const auto checked = check_context(bytes_, smollm2(), kModel);
  ASSERT_TRUE(checked) << checked.error().message;
  EXPECT_EQ(checked->n_tokens, 0U);
  EXPECT_EQ(checked->layout.size, layout_.size);
  EXPECT_EQ(checked->layout.token_stride, layout_.token_stride);
}

TEST_F(ContextHeader, AContextOfVersionOneIsReadAsItLies) {
  const auto layout = *make_context_layout(smollm2(), 8, KvType::f16, 1);
  std::vector<std::byte> bytes(layout.size);
  ASSERT_TRUE(init_context(bytes, layout, kModel));
  const auto checked = check_context(bytes, smollm2(), kModel);
  ASSERT_TRUE(checked) << checked.error().message;
  EXPECT_EQ(checked->layout.version, 1U);
  EXPECT_EQ(checked->layout.token_stride, 23040U);
  EXPECT_EQ(checked->layout.size, bytes.size());
}

TEST_F(ContextHeader, InitTouchesTheHeaderAlone) {
  for (std::size_t i = sizeof(dw_context_header); i < bytes_.size(); ++i) ASSERT_EQ(bytes_[i], std::byte{0x5a}) << i;
}

TEST_F(ContextHeader, TokensAreCounted) {
  set_context_tokens(bytes_, 8);
  EXPECT_EQ(check_context(bytes_, smollm2(), kModel)->n_tokens, 8U);
}

TEST_F(ContextHeader, EachWrongFieldIsNamed) {
  refuses(ErrorCode::corrupt, "no Context here", [](auto& h) { h.magic ^= 1; });
  refuses(ErrorCode::incompatible, "version 3; this host reads versions 1 to 2", [](auto& h) { h.version = 3; });
  refuses(ErrorCode::incompatible, "version 0; this host reads versions 1 to 2", [](auto& h) { h.version = 0; });
  refuses(ErrorCode::corrupt, "token stride of 23104, where it must be 23040", [](auto& h) { h.version = 1; });
  refuses(ErrorCode::incompatible, "of the model", [](auto& h) { h.model_hash[31] ^= 1; });
  refuses(ErrorCode::corrupt, "KV type 0", [](auto& h) { h.kv_type = 0; });
  refuses(ErrorCode::corrupt, "length of 0 tokens", [](auto& h) { h.n_ctx = 0; });
  refuses(ErrorCode::corrupt, "length of 4294967295 tokens", [](auto& h) { h.n_ctx = 0xffffffffU; });
  refuses(ErrorCode::corrupt, "takes 212032 bytes; the range given has 188928", [](auto& h) { h.n_ctx = 9; });
  refuses(ErrorCode::corrupt, "layers of 31, where it must be 30", [](auto& h) { h.n_layer = 31; });
  refuses(ErrorCode::corrupt, "row size of 385, where it must be 384", [](auto& h) { h.row_bytes = 385; });
  refuses(ErrorCode::corrupt, "token stride of 64", [](auto& h) { h.token_stride = 64; });
  refuses(ErrorCode::corrupt, "KV offset of 0", [](auto& h) { h.kv_offset = 0; });
  refuses(ErrorCode::corrupt, "reserved words", [](auto& h) { h.reserved[2] = 1; });
  refuses(ErrorCode::corrupt, "says 9 tokens, more than its length (8)", [](auto& h) { h.n_tokens = 9; });
  refuses(ErrorCode::corrupt, "row size of 384, where it must be 204", [](auto& h) { h.kv_type = DW_TYPE_Q8_0; });
}

TEST_F(ContextHeader, ShortRangesAreRefused) {
  for (const std::size_t size :
       {std::size_t{0}, sizeof(dw_context_header) - 1, sizeof(dw_context_header), bytes_.size() - 1}) {
    const auto checked = check_context(std::span(bytes_).first(size), smollm2(), kModel);
    ASSERT_FALSE(checked) << size;
    EXPECT_EQ(checked.error().code, ErrorCode::corrupt);
  }
  EXPECT_EQ(init_context(std::span(bytes_).first(bytes_.size() - 1), layout_, kModel).error().code,
            ErrorCode::invalid_argument);
}

TEST(TopK, EqualLogitsComeInTheOrderOfTokens) {
  const std::vector<float> logits = {1, 5, 3, 5, -2, 5, 3};
  std::vector<TokenLogit> best(5);
  select_top_k(logits, best);
  std::vector<Token> tokens;
  for (const TokenLogit& entry : best) tokens.push_back(entry.token);
  EXPECT_THAT(tokens, ::testing::ElementsAre(1, 3, 5, 2, 6));
  EXPECT_EQ(best[3].logit, 3.0F);

  best.resize(4);  // the later one of the equal two has no place
  select_top_k(logits, best);
  EXPECT_EQ(best[3].token, 2);
}

TEST(TopK, WhatIsNoNumberRanksLast) {
  const std::vector<float> logits = {std::nanf(""), -7, std::nanf(""), 2};
  std::vector<TokenLogit> best(4);
  select_top_k(logits, best);
  EXPECT_EQ(best[0].token, 3);
  EXPECT_EQ(best[1].token, 1);
  EXPECT_EQ(best[2].token, 0);
  EXPECT_EQ(best[3].token, 2);
}

}  // namespace
}  // namespace driftwood
