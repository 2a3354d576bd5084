// The forward pass against libllama, for every family.
//
//   stock   ggml's operators: the same kernels in the same order, so the same bits, but for the families whose
//           queries libllama scales before it rounds them to half precision, and we with the scores
//   fused   our attention: nothing is accumulated in half precision, as ggml's does
//   packed  our products too: activations are rounded to 8 bits by another rule, which tells in models this small
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "model/family.hpp"
#include "support/libllama_reference.hpp"
#include "support/sequence.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

constexpr std::uint32_t kPrompt = 40;
constexpr std::uint32_t kGenerated = 32;

enum class Way { stock, fused, packed };

struct Case {
  std::string architecture;
  KvType kv_type = KvType::f16;
  Way way = Way::stock;

  bool same_order() const { return way == Way::stock && !architecture.starts_with("gemma") && architecture != "phi3"; }
  /// Relative error of a row of logits; 1.5 times the largest seen, or more.
  double tolerance() const {
    switch (way) {
      case Way::stock: return same_order() ? 1e-6 : 5e-3;
      case Way::fused: return 2e-2;
      case Way::packed: return 6e-2;
    }
    return 0;
  }
  ForwardOptions options() const {
    return {.attention = way == Way::stock ? AttentionKind::stock : AttentionKind::fused,
            .products = way == Way::packed ? ProductKind::packed : ProductKind::stock};
  }
};

std::vector<Case> cases() {
  std::vector<Case> result;
  for (const Family& family : families()) {
    for (const KvType type : {KvType::f16, KvType::q8_0}) {
      for (const Way way : {Way::stock, Way::fused, Way::packed}) {
        result.push_back({std::string(family.architecture), type, way});
      }
    }
  }
  return result;
}

std::string case_name(const ::testing::TestParamInfo<Case>& test) {
  const char* way = test.param.way == Way::stock ? "stock" : test.param.way == Way::fused ? "fused" : "packed";
  return fmt::format("{}_{}_{}", test.param.architecture, test.param.kv_type == KvType::f16 ? "f16" : "q8_0", way);
}

/// Feeds both the same greedy continuation and returns the largest relative error of any row.
double largest_error(const Case& test, Forward& forward, Sequence& ours, LibllamaReference& theirs,
                     std::span<const Token> prompt) {
  double worst = 0;
  std::vector<Token> next(prompt.begin(), prompt.end());
  for (std::uint32_t i = 0; i <= kGenerated; ++i) {
    const auto expected = theirs.forward(next);
    const auto logits = ours.run(forward, next);
    worst = std::max(worst, relative_error(logits, expected));
    // A choice between two logits closer than the rounding is nobody's.
    if (test.way == Way::stock || lead(expected) > 2 * test.tolerance()) {
      EXPECT_EQ(greedy(logits), greedy(expected)) << "after " << i << " tokens, with a lead of " << lead(expected);
    }
    next = {greedy(expected)};
  }
  return worst;
}

class ForwardParity : public ::testing::TestWithParam<Case> {
 protected:
  /// Sizes that the fused attention and q8_0 rows allow, weights that are packed, a window that the sequence crosses.
  RandomModelOptions options() const {
    RandomModelOptions options = representative_options(GetParam().architecture);
    options.n_embd = 128;
    options.head_dim = 32;
    options.rope_dims = options.rope_dims == 0 ? 0 : 16;
    options.n_ctx = 256;
    if (options.sliding_window != 0) options.sliding_window = 24;
    // Quantized activations would hide differences of the attention.
    const bool quantized = GetParam().way == Way::packed || GetParam().same_order();
    if (quantized) options.type = GetParam().kv_type == KvType::f16 ? GGML_TYPE_Q4_1 : GGML_TYPE_Q8_0;
    return options;
  }

  double error_of(const RandomModelOptions& options, std::uint32_t n_ctx) {
    const auto path = folder_.path() / "model.gguf";
    if (auto written = write_random_model(options, path); !written) {
      throw std::runtime_error(written.error().to_string());
    }
    const auto device = value_of(open_device("cpu", {.threads = 1}));
    const auto model = open_model(path, *device);
    const auto forward = value_of(Forward::create(model, GetParam().options()));
    Sequence ours(*model, n_ctx, GetParam().kv_type);
    LibllamaReference theirs(
        path, {.n_ctx = n_ctx, .kv_type = GetParam().kv_type == KvType::f16 ? GGML_TYPE_F16 : GGML_TYPE_Q8_0});
    return largest_error(GetParam(), *forward, ours, theirs, random_tokens(kPrompt, options.n_vocab, options.seed));
  }

  TemporaryFolder folder_;
};

TEST_P(ForwardParity, LogitsAgreeWithLibllama) {
  const double error = error_of(options(), 256);
  RecordProperty("relative_error", fmt::format("{:.2e}", error));
  EXPECT_LE(error, GetParam().tolerance());
}

INSTANTIATE_TEST_SUITE_P(Families, ForwardParity, ::testing::ValuesIn(cases()), case_name);

class RopeParity : public ForwardParity {};

TEST_P(RopeParity, TheLengthOfTheContextChoosesTheFactors) {
  RandomModelOptions model = options();
  model.rope_scaling = "longrope";
  model.rope_scaling_factor = 4.0F;
  model.rope_original_ctx = 256;
  model.rope_factors = true;
  model.n_ctx = 1024;
  EXPECT_LE(error_of(model, 1024), GetParam().tolerance());
  EXPECT_LE(error_of(model, 256), GetParam().tolerance());
}

TEST_P(RopeParity, YarnStretchesPositions) {
  RandomModelOptions model = options();
  model.rope_scaling = "yarn";
  model.rope_scaling_factor = 4.0F;
  model.rope_original_ctx = 64;
  model.rope_factors = false;
  EXPECT_LE(error_of(model, 256), GetParam().tolerance());
}

INSTANTIATE_TEST_SUITE_P(Families, RopeParity,
                         ::testing::Values(Case{"phi3", KvType::f16, Way::stock},
                                           Case{"llama", KvType::f16, Way::stock},
                                           Case{"llama", KvType::f16, Way::packed}),
                         case_name);

}  // namespace
}  // namespace driftwood
