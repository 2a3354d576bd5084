#include "hostcalls/llm_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace driftwood {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t kVocab = 100;

class ForwardCheck : public testing::Test {
 protected:
  void SetUp() override {
    const std::int32_t tokens[] = {0, 99, 5};
    std::memcpy(bytes_.data() + kTokens, tokens, sizeof(tokens));
  }
  static dw_forward_desc good() {
    return {.size = sizeof(dw_forward_desc),
            .model = 1,
            .context = 4096,
            .context_bytes = 8192,
            .tokens = kTokens,
            .n_tokens = 3,
            .outputs = DW_LOGITS_LAST,
            .top_k = 0,
            .logits = 32768,
            .logits_bytes = kVocab * 4,
            .flags = 0};
  }
  // The descriptor passes as it is, and is refused with `sentence` once `spoil` has changed it.
  void expect_refused(const std::function<void(dw_forward_desc&)>& spoil, std::string_view sentence) {
    dw_forward_desc desc = good();
    ASSERT_TRUE(check_forward(memory_, desc, kVocab));
    spoil(desc);
    const auto checked = check_forward(memory_, desc, kVocab);
    ASSERT_FALSE(checked) << "not refused, though expected: " << sentence;
    EXPECT_EQ(checked.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(checked.error().message, HasSubstr(sentence));
  }
  void set_token(std::size_t index, std::int32_t token) {
    std::memcpy(bytes_.data() + kTokens + 4 * index, &token, sizeof(token));
  }

  static constexpr std::uint32_t kTokens = 1024;
  std::vector<std::byte> bytes_ = std::vector<std::byte>(65536);
  GuestMemory memory_{bytes_.data(), bytes_.size()};
};

TEST_F(ForwardCheck, GivesRangesThatLieInMemory) {
  const auto checked = check_forward(memory_, good(), kVocab);
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->context, (ByteRange{4096, 8192}));
  EXPECT_EQ(checked->logits, (ByteRange{32768, kVocab * 4}));
  EXPECT_EQ(checked->outputs, Outputs::last);
  EXPECT_THAT(checked->tokens, testing::ElementsAre(0, 99, 5));
}

TEST_F(ForwardCheck, RefusesRangesOutsideOfMemory) {
  expect_refused([](auto& d) { d.context_bytes = 0xffffffff; }, "\"context\" of dw_forward (offset 4096");
  expect_refused([](auto& d) { d.context = 0xfffff000; }, "reaches beyond");
  expect_refused([](auto& d) { d.context = 4096 + 64; }, "not aligned to 4096 bytes");
  expect_refused([](auto& d) { d.tokens = 65536 - 8; }, "\"tokens\" of dw_forward");
  expect_refused([](auto& d) { d.tokens = 1026; }, "not aligned to 4 bytes");
  expect_refused([](auto& d) { d.logits = 65536 - 32; }, "\"logits\" of dw_forward");
  expect_refused([](auto& d) { d.logits = 32768 + 16; }, "not aligned to 32 bytes");
}

TEST_F(ForwardCheck, RefusesRangesThatOverlap) {
  expect_refused([](auto& d) { d.logits = 4096 + 8192 - 32; }, "\"context\" (offset 4096, 8192 bytes) and \"logits\"");
  expect_refused([](auto& d) { d.logits = 992; }, "\"tokens\" (offset 1024, 12 bytes) and \"logits\"");
  expect_refused([](auto& d) { d.tokens = 4096; }, "\"context\" (offset 4096, 8192 bytes) and \"tokens\"");
}

TEST_F(ForwardCheck, RefusesCountsOutOfRange) {
  expect_refused([](auto& d) { d.n_tokens = 0; }, "\"n_tokens\" of dw_forward (0) is not in 1 to 1048576");
  expect_refused([](auto& d) { d.n_tokens = 0xffffffff; }, "\"n_tokens\" of dw_forward (4294967295)");
  expect_refused([](auto& d) { d.outputs = 4; }, "\"outputs\" of dw_forward (4)");
  expect_refused([](auto& d) { d.flags = 1; }, "\"flags\" of dw_forward (0x1)");
  expect_refused([](auto& d) { d.logits_bytes = kVocab * 4 - 1; }, "(399) is too small for the outputs (400 bytes)");
  expect_refused([](auto& d) { d.outputs = DW_LOGITS_ALL; }, "(1200 bytes)");
  for (const std::uint32_t top_k : {0U, 101U, 0xffffffffU}) {
    expect_refused([=](auto& d) { d.outputs = DW_LOGITS_TOP_K, d.top_k = top_k; }, "is not in 1 to 100");
  }
}

TEST_F(ForwardCheck, RefusesTokensOutsideTheVocabulary) {
  for (const std::int32_t wrong : {-1, INT32_MIN, 100, INT32_MAX}) {
    set_token(1, wrong);
    const auto checked = check_forward(memory_, good(), kVocab);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().message,
              "Token 1 of dw_forward (" + std::to_string(wrong) + ") is not in the vocabulary (0 to 99).");
  }
}

TEST_F(ForwardCheck, WithoutOutputsLooksAtNoLogits) {
  dw_forward_desc desc = good();
  desc.outputs = DW_LOGITS_NONE;
  desc.logits = 0xffffffff;
  desc.logits_bytes = 0;
  const auto checked = check_forward(memory_, desc, kVocab);
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->logits.size, 0U);
}

TEST(ContextParamsCheck, RefusesCountsAndTypes) {
  std::vector<std::byte> bytes(64);
  const GuestMemory memory(bytes.data(), bytes.size());
  const auto check = [&](std::uint32_t n_ctx, std::uint32_t type) {
    const dw_context_params params{sizeof(dw_context_params), 1, n_ctx, type};
    std::memcpy(bytes.data(), &params, sizeof(params));
    return check_context_params(memory, "dw_context_size", 0);
  };
  EXPECT_TRUE(check(1, DW_TYPE_F16));
  EXPECT_TRUE(check(DW_MAX_CTX, DW_TYPE_Q8_0));
  EXPECT_THAT(check(0, DW_TYPE_F16).error().message, HasSubstr("\"n_ctx\" of dw_context_size (0)"));
  EXPECT_THAT(check(DW_MAX_CTX + 1, DW_TYPE_F16).error().message, HasSubstr("is not in 1 to 1048576"));
  EXPECT_THAT(check(1, DW_TYPE_F32).error().message, HasSubstr("(0) is neither f16 (1) nor q8_0 (8)"));
}

}  // namespace
}  // namespace driftwood
