// The real SmolLM2-135M-Instruct against libllama, over 256 greedy tokens of an answer.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "support/libllama_reference.hpp"
#include "support/sequence.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

constexpr std::uint32_t kTokens = 256;
constexpr std::uint32_t kContext = 512;

class SmolLmParity : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* path = std::getenv("DRIFTWOOD_TEST_MODEL");
    if (path == nullptr) GTEST_SKIP() << "DRIFTWOOD_TEST_MODEL does not name the model's file.";
    path_ = path;
    device_ = value_of(open_device("cpu", {.threads = 1}));
    model_ = open_model(path_, *device_);
    const std::array<ChatMessage, 1> messages = {
        ChatMessage{"user", "Tell me a long story about a log that drifts across the ocean, and what it meets there."}};
    const std::string prompt = value_of(model_->tokenizer().apply_chat_template(messages, true));
    prompt_ = value_of(model_->tokenizer().tokenize(prompt, true, true));
  }

  /// Both follow libllama's greedy choice; `check` gets each pair of rows.
  template <typename Check>
  void follow(const ForwardOptions& options, KvType kv_type, const Check& check) {
    const auto forward = value_of(Forward::create(model_, options));
    Sequence ours(*model_, kContext, kv_type);
    LibllamaReference theirs(path_,
                             {.n_ctx = kContext, .kv_type = kv_type == KvType::f16 ? GGML_TYPE_F16 : GGML_TYPE_Q8_0});
    std::vector<Token> next = prompt_;
    for (std::uint32_t i = 0; i < kTokens; ++i) {
      const auto expected = theirs.forward(next);
      check(i, ours.run(*forward, next), expected);
      next = {greedy(expected)};
    }
  }

  std::filesystem::path path_;
  std::unique_ptr<Device> device_;
  std::shared_ptr<const Model> model_;
  std::vector<Token> prompt_;
};

TEST_F(SmolLmParity, GgmlsOperatorsGiveLibllamasBits) {
  const ForwardOptions options{.attention = AttentionKind::stock, .products = ProductKind::stock};
  follow(options, KvType::f16, [](std::uint32_t i, std::span<const float> ours, std::span<const float> theirs) {
    EXPECT_EQ(std::memcmp(ours.data(), theirs.data(), theirs.size_bytes()), 0) << "at token " << i;
  });
}

class OwnKernels : public SmolLmParity, public ::testing::WithParamInterface<KvType> {};

// Activations of 8 bits turn the last bits of a sum into whole steps of the next layer, so that two sound ways of
// computing this model lie apart by a few percent. libllama's own two attentions give the measure.
TEST_P(OwnKernels, LieAsNearToLibllamaAsItsTwoAttentionsToEachOther) {
  double ours_off = 0;
  double theirs_off = 0;
  std::uint32_t other_choices = 0;
  LibllamaReference other(path_, {.n_ctx = kContext, .flash_attention = false});
  std::vector<Token> next = prompt_;
  follow({}, GetParam(), [&](std::uint32_t i, std::span<const float> ours, std::span<const float> theirs) {
    ours_off += relative_error(ours, theirs);
    theirs_off += relative_error(other.forward(next), theirs);
    next = {greedy(theirs)};
    if (greedy(ours) == greedy(theirs)) return;
    ++other_choices;
    EXPECT_LE(lead(theirs), 0.1) << "at token " << i;
  });
  RecordProperty("mean_relative_error", fmt::format("{:.2e}", ours_off / kTokens));
  RecordProperty("libllama_to_libllama", fmt::format("{:.2e}", theirs_off / kTokens));
  EXPECT_LE(ours_off, 1.5 * theirs_off);
  EXPECT_LE(other_choices, kTokens / 20) << "Only logits that lie close to each other may change places.";
}

INSTANTIATE_TEST_SUITE_P(KvTypes, OwnKernels, ::testing::Values(KvType::f16, KvType::q8_0),
                         [](const auto& test) { return test.param == KvType::f16 ? "f16" : "q8_0"; });

}  // namespace
}  // namespace driftwood
