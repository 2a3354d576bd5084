// The CUDA decoder's kernels, run on the host: held to the logits of ggml's graph, and to themselves in a batch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>

#include "device/cuda/decode/plan.hpp"
#include "device/cuda/decode/step.cuh"
#include "device/cuda/decode/step_memory.hpp"
#include "llm/graph/decoder_model.hpp"
#include "llm/top_k.hpp"
#include "support/sequence.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

struct EmulatedLaunch {
  template <typename... Parameters, typename... Arguments>
  void operator()(void (*kernel)(Parameters...), dim3 grid, int threads, const Arguments&... arguments) const {
    cuda::emulation::launch(kernel, grid, threads, arguments...);
  }
};

struct Case {
  std::string name;
  ggml_type type = GGML_TYPE_Q4_0;
  ggml_type embedding = GGML_TYPE_Q6_K;
  std::uint32_t n_embd = 256, n_head = 4, n_head_kv = 2, head_dim = 64, n_ff = 384;
  bool tied = true;
  bool rope_factors = false;
};

class DecodeKernels : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr int kChunks = 4;
  static constexpr int kMostTopK = 8;
  static constexpr std::uint32_t kCtx = 420;

  void SetUp() override {
    const Case& c = GetParam();
    RandomModelOptions options;
    options.type = c.type;
    options.embedding_type = c.embedding;
    options.n_embd = c.n_embd;
    options.n_head = c.n_head;
    options.n_head_kv = c.n_head_kv;
    options.head_dim = c.head_dim;
    options.n_ff = c.n_ff;
    options.n_vocab = 640;
    options.tied_output = c.tied;
    options.rope_factors = c.rope_factors;
    const auto path = folder_.path() / "model.gguf";
    ASSERT_TRUE(write_random_model(options, path));
    device_ = value_of(open_device("cpu", {.threads = 1}));
    model_ = open_model(path, *device_);
    forward_ = value_of(Forward::create(model_));
    tokens_ = random_tokens(kCtx, options.n_vocab);
    const DecoderModel decoder = value_of(make_decoder_model(*model_));
    ASSERT_TRUE(cuda::check_decodable(decoder));
    std::size_t placed = 0;
    plan_ = value_of(cuda::make_plan(decoder, [&](std::span<const std::uint8_t> bytes) -> Result<const std::uint8_t*> {
      placed += align_up(bytes.size(), 256);
      auto& copy = weights_.emplace_back(bytes.size() / sizeof(uint4) + 1);
      std::memcpy(copy.data(), bytes.data(), bytes.size());
      return reinterpret_cast<const std::uint8_t*>(copy.data());
    }));
    EXPECT_EQ(placed, cuda::plan_bytes(decoder));
    block_.resize(cuda::step_memory_bytes(plan_.model, kChunks, kMostTopK) / sizeof(uint4) + 1);
    memory_ =
        cuda::step_memory(plan_.model, kChunks, kMostTopK, reinterpret_cast<std::uint8_t*>(block_.data()), &keys_);
  }

  /// A sequence that the graph has run over `n` tokens from `first` on.
  Sequence sequence_after(std::size_t first, std::size_t n) {
    Sequence sequence(*model_, kCtx);
    if (n != 0) sequence.run(*forward_, std::span(tokens_).subspan(first, n), Outputs::none);
    return sequence;
  }

  static std::uint8_t* records(const Sequence& sequence) {
    return reinterpret_cast<std::uint8_t*>(sequence.context().data() + sequence.layout().kv_offset);
  }

  /// One emulated step; the rows' logits.
  std::vector<std::vector<float>> step(std::vector<cuda::StepRow> rows, int top_k = 0,
                                       cuda::TopKEntry* best = nullptr) {
    memory_.input = rows.data();
    const cuda::StepShape shape{static_cast<int>(rows.size()), kChunks, top_k};
    const EmulatedLaunch launch;
    cuda::Step step(launch, plan_.model, memory_, shape);
    step.run(plan_.layers.data(), static_cast<int>(plan_.layers.size()), cuda::StepOutput{keys_, best});
    std::vector<std::vector<float>> logits;
    const auto n_vocab = static_cast<std::size_t>(plan_.model.n_vocab);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      logits.emplace_back(memory_.logits + i * n_vocab, memory_.logits + (i + 1) * n_vocab);
    }
    return logits;
  }

  TemporaryFolder folder_;
  std::unique_ptr<Device> device_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Forward> forward_;
  std::vector<Token> tokens_;
  std::deque<std::vector<uint4>> weights_;
  std::vector<uint4> block_;
  cuda::StepPlan plan_;
  cuda::StepMemory memory_;
  cuda::TopKKey* keys_ = nullptr;
};

TEST_P(DecodeKernels, LogitsAndRowsAreTheGraphsWithinRounding) {
  for (const std::size_t n_past : {0, 127, 300}) {
    Sequence graph = sequence_after(0, n_past);
    Sequence kernels = sequence_after(0, n_past);
    const std::vector<float> expected = copy(graph.run(*forward_, std::span(tokens_).subspan(n_past, 1)));
    const std::size_t stride = kernels.layout().token_stride;
    std::vector<std::uint8_t> record(stride);
    const auto logits = step({{tokens_[n_past], static_cast<int>(n_past), records(kernels), record.data()}});
    EXPECT_LT(relative_error(logits[0], expected), 0.02) << "after " << n_past;
    if (lead(expected) > 0.1) {
      EXPECT_EQ(greedy(logits[0]), greedy(expected)) << "after " << n_past;
    }
    const std::uint8_t* row = records(kernels) + n_past * stride;
    const std::size_t used = 2 * std::size_t{kernels.layout().row_bytes} * kernels.layout().n_layer;
    EXPECT_EQ(std::memcmp(row, record.data(), used), 0) << "the copy differs";
    std::vector<float> rows(used / 2);
    std::vector<float> expected_rows(used / 2);
    ggml_fp16_to_fp32_row(reinterpret_cast<const ggml_fp16_t*>(row), rows.data(),
                          static_cast<std::int64_t>(rows.size()));
    ggml_fp16_to_fp32_row(reinterpret_cast<const ggml_fp16_t*>(records(graph) + n_past * stride), expected_rows.data(),
                          static_cast<std::int64_t>(rows.size()));
    EXPECT_LT(relative_error(rows, expected_rows), 0.02) << "after " << n_past;
  }
}

TEST_P(DecodeKernels, ARowInABatchHasTheBitsItHasAlone) {
  std::vector<std::size_t> pasts;
  for (std::size_t i = 0; i < 10; ++i) pasts.push_back(i * 33);
  std::vector<Sequence> sequences;
  std::vector<cuda::StepRow> rows;
  for (const std::size_t n_past : pasts) {
    sequences.push_back(sequence_after(1, n_past));
    rows.push_back({tokens_[n_past], static_cast<int>(n_past), records(sequences.back()), nullptr});
  }
  const auto together = step(rows);
  for (const std::size_t i : {0, 5, 9}) {
    EXPECT_EQ(step({rows[i]})[0], together[i]) << i;
  }
}

TEST_P(DecodeKernels, TheBestLogitsAreThoseOfTheHostsSearch) {
  Sequence a = sequence_after(0, 3);
  Sequence b = sequence_after(3, 9);
  std::array<cuda::TopKEntry, 2 * kMostTopK> best;
  const auto logits =
      step({{tokens_[3], 3, records(a), nullptr}, {tokens_[9], 9, records(b), nullptr}}, kMostTopK, best.data());
  for (std::size_t row = 0; row < 2; ++row) {
    std::array<TokenLogit, kMostTopK> expected;
    select_top_k(logits[row], expected);
    for (std::size_t i = 0; i < kMostTopK; ++i) {
      EXPECT_EQ(best[row * kMostTopK + i].token, expected[i].token);
      EXPECT_EQ(best[row * kMostTopK + i].logit, expected[i].logit);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, DecodeKernels,
    ::testing::Values(Case{.name = "q4_0"},
                      Case{.name = "q8_0_untied", .type = GGML_TYPE_Q8_0, .embedding = GGML_TYPE_F16, .tied = false},
                      Case{.name = "f16_narrow",
                           .type = GGML_TYPE_F16,
                           .embedding = GGML_TYPE_Q8_0,
                           .n_embd = 192,
                           .n_head = 3,
                           .n_head_kv = 1,
                           .n_ff = 160,
                           .rope_factors = true},
                      Case{.name = "q5_0_heads_of_128",
                           .type = GGML_TYPE_Q5_0,
                           .embedding = GGML_TYPE_Q4_0,
                           .n_head = 8,
                           .n_head_kv = 1,
                           .head_dim = 128}),
    [](const auto& param) { return param.param.name; });

/// What is equal, negative, infinite or no number, among `n` logits.
std::vector<float> odd_logits(std::size_t n) {
  const std::vector<float> odd = {0.0F, -0.0F, NAN, -INFINITY, 3.0F, -1.0F, 3.0F, INFINITY, -NAN, 1e-40F};
  std::vector<float> logits(n);
  std::uint32_t state = 1;
  for (float& logit : logits) {
    state = state * 1664525 + 1013904223;
    const std::uint32_t drawn = state >> 16;
    logit = drawn % 4 == 0 ? odd[drawn / 4 % odd.size()] : static_cast<float>(drawn) / 1000.0F;
  }
  return logits;
}

void expect_as_on_the_host(std::span<const float> logits, std::span<const cuda::TopKEntry> best) {
  std::vector<TokenLogit> expected(best.size());
  select_top_k(logits, expected);
  for (std::size_t i = 0; i < best.size(); ++i) {
    ASSERT_EQ(best[i].token, expected[i].token) << i;
    ASSERT_EQ(best[i].logit, expected[i].logit) << i;
  }
}

TEST(TopKKernel, ManyAreOrderedAsOnTheHost) {
  const std::vector<float> logits = odd_logits(2500);
  constexpr std::size_t kBest = 1024;
  std::vector<cuda::TopKKey> keys(3 * kBest);
  std::vector<cuda::TopKEntry> best(kBest);
  const cuda::TopKKey* lists = keys.data();
  cuda::emulation::launch(cuda::top_k_slices, dim3(3, 1), cuda::kTopKThreads, logits.data(), 2500, int{kBest},
                          keys.data());
  cuda::emulation::launch(cuda::top_k_merge, dim3(1), cuda::kWarp, lists, 3, int{kBest}, best.data());
  expect_as_on_the_host(logits, best);
}

TEST(TopKKernel, FewOfManyAreOrderedAsOnTheHost) {
  constexpr int kVocab = 3 * cuda::kTopKWide - 100;
  const std::vector<float> logits = odd_logits(kVocab);
  for (const int k : {1, 40, 64}) {
    std::vector<cuda::TopKKey> keys(static_cast<std::size_t>(3 * k));
    std::vector<cuda::TopKEntry> best(static_cast<std::size_t>(k));
    const cuda::TopKKey* lists = keys.data();
    cuda::emulation::launch(cuda::top_k_wide, dim3(3, 1), cuda::kTopKThreads, logits.data(), kVocab, k, keys.data());
    cuda::emulation::launch(cuda::top_k_join, dim3(1), cuda::kTopKThreads, lists, 3 * k, k, best.data());
    expect_as_on_the_host(logits, best);
  }
}

}  // namespace
}  // namespace driftwood
