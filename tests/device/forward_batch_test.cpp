// Passes that serve many requests: the bits that each has when it is alone.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <deque>

#include "llm/graph/kv_spans.hpp"
#include "llm/passes.hpp"
#include "memory/system_memory.hpp"
#include "model/family.hpp"
#include "support/counting_device.hpp"
#include "support/sequence.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

constexpr std::uint32_t kCtx = 160;
constexpr std::uint32_t kRequests = 32;

struct Case {
  std::string architecture;
  ggml_type type = GGML_TYPE_Q4_1;
  bool strict = false;
};

std::vector<Case> cases() {
  std::vector<Case> result;
  for (const Family& family : families()) result.push_back({std::string(family.architecture)});
  for (const ggml_type type : {GGML_TYPE_Q4_0, GGML_TYPE_Q8_0}) {
    result.push_back({"llama", type});
  }
  for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q4_K, GGML_TYPE_Q6_K, GGML_TYPE_Q5_0}) {
    result.push_back({"llama", type, true});
  }
  result.push_back({"gemma2", GGML_TYPE_F16, true});
  return result;
}

/// A request's tokens: some that were there before, then those that it brings.
struct Plan {
  std::uint32_t n_past = 0;
  std::uint32_t n_tokens = 1;
  std::uint32_t cut = 0;  ///< tokens that the batch has in a pass before; 0: all in one
  Outputs outputs = Outputs::last;
};

Plan plan_of(std::uint32_t i) {
  switch (i % 8) {
    case 3: return {.n_past = 0, .n_tokens = 40 + i, .cut = 17};
    case 5: return {.n_past = i, .n_tokens = 3, .outputs = Outputs::all};
    case 6: return {.n_past = 2 * i, .n_tokens = 33, .cut = i, .outputs = Outputs::none};
    case 7: return {.n_past = 3 * i, .n_tokens = 1, .outputs = Outputs::top_k};
    default: return {.n_past = 1 + 3 * i, .n_tokens = 1};
  }
}

class ForwardBatch : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    RandomModelOptions options = representative_options(GetParam().architecture);
    options.n_embd = 256;
    options.n_ff = 256;
    options.head_dim = 32;
    options.rope_dims = options.rope_dims == 0 ? 0 : 16;
    options.n_ctx = 256;
    if (options.sliding_window != 0) options.sliding_window = 24;
    options.type = GetParam().type;
    const auto path = folder_.path() / "model.gguf";
    const auto written = write_random_model(options, path);
    ASSERT_TRUE(written) << written.error().to_string();
    device_ = std::make_unique<CountingDevice>(2);
    model_ = open_model(path, *device_);
    passes_ = value_of(ModelPasses::create(model_, {.strict = GetParam().strict}));
    tokens_ = random_tokens(4 * kCtx, options.n_vocab);
  }

  Sequence make_sequence(std::uint32_t i) const { return {*model_, kCtx, i % 3 == 0 ? KvType::q8_0 : KvType::f16, 3}; }
  std::span<const Token> tokens(std::uint32_t i, std::size_t first, std::size_t n) const {
    return std::span(tokens_).subspan(7 * i + first, n);
  }
  ForwardRequest request(const Sequence& sequence, std::uint32_t i) const {
    const Plan plan = plan_of(i);
    ForwardRequest request = sequence.request(tokens(i, plan.n_past, plan.n_tokens), plan.outputs);
    if (plan.outputs == Outputs::top_k) request.top_k = 5;
    return request;
  }
  /// Runs some next tokens of jobs in one pass.
  void pass(std::span<const PassSlice> slices) {
    passes_->run(slices);
    for (const PassSlice& slice : slices) {
      const auto result = slice.job->result();
      ASSERT_TRUE(result) << result.error().to_string();
    }
  }
  void fill(const Sequence& sequence, std::uint32_t i, std::uint32_t n) {
    if (n == 0) return;
    const ForwardRequest request = sequence.request(tokens(i, 0, n), Outputs::none);
    ForwardJob job(request);
    ASSERT_TRUE(passes_->start(job));
    const PassSlice slice{&job, n};
    pass({&slice, 1});
  }
  std::vector<std::byte> all_bytes(const Sequence& sequence) const {
    const std::span used = sequence.used(kCtx);
    std::vector<std::byte> bytes(used.begin(), used.end());
    const std::byte* logits = sequence.logits();
    bytes.insert(bytes.end(), logits, logits + std::size_t{3} * model_->hyperparameters().n_vocab * sizeof(float));
    return bytes;
  }

  TemporaryFolder folder_;
  std::unique_ptr<CountingDevice> device_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<ModelPasses> passes_;
  std::vector<Token> tokens_;
};

TEST_P(ForwardBatch, GivesEachRequestTheBitsThatItHasAlone) {
  std::deque<Sequence> alone;
  std::deque<Sequence> batched;
  std::vector<ForwardRequest> requests;
  for (std::uint32_t i = 0; i < kRequests; ++i) {
    alone.push_back(make_sequence(i));
    batched.push_back(make_sequence(i));
    for (const Sequence* sequence : {&alone.back(), &batched.back()}) fill(*sequence, i, plan_of(i).n_past);
    const ForwardRequest lone = request(alone.back(), i);
    ForwardJob job(lone);
    ASSERT_TRUE(passes_->start(job));
    const PassSlice slice{&job, job.left()};
    pass({&slice, 1});
    requests.push_back(request(batched.back(), i));
  }

  std::deque<ForwardJob> jobs;
  std::vector<PassSlice> first;
  std::vector<PassSlice> second;
  for (std::uint32_t i = 0; i < kRequests; ++i) {
    ASSERT_TRUE(passes_->start(jobs.emplace_back(requests[i])));
    if (plan_of(i).cut != 0) first.push_back({&jobs.back(), plan_of(i).cut});
  }
  pass(first);
  for (ForwardJob& job : jobs) second.push_back({&job, job.left()});
  pass(second);
  for (std::uint32_t i = 0; i < kRequests; ++i) {
    EXPECT_TRUE(all_bytes(alone[i]) == all_bytes(batched[i])) << "request " << i;
  }
}

TEST_P(ForwardBatch, SharesThePrefixOfForksWithoutChangingABit) {
  Sequence parent = make_sequence(1);
  fill(parent, 1, 100);
  const auto image = parent.freeze(*model_);
  std::deque<Sequence> alone;
  std::deque<Sequence> batched;
  std::vector<ForwardRequest> requests;
  for (std::uint32_t i = 0; i < 12; ++i) {
    alone.emplace_back(*model_, parent, image);
    batched.emplace_back(*model_, parent, image);
    requests.push_back(batched.back().request(tokens(i, 0, 1 + i % 2)));
    const ForwardRequest lone = alone.back().request(tokens(i, 0, 1 + i % 2));
    ForwardJob job(lone);
    ASSERT_TRUE(passes_->start(job));
    const PassSlice slice{&job, job.left()};
    pass({&slice, 1});
  }
  std::deque<ForwardJob> jobs;
  std::vector<PassSlice> slices;
  for (const ForwardRequest& request : requests) {
    ASSERT_TRUE(passes_->start(jobs.emplace_back(request)));
    slices.push_back({&jobs.back(), jobs.back().left()});
  }
  pass(slices);
  for (std::size_t i = 0; i < alone.size(); ++i) {
    EXPECT_TRUE(all_bytes(alone[i]) == all_bytes(batched[i])) << "fork " << i;
  }
}

TEST_P(ForwardBatch, FindsThatForksBeginWithTheSameRows) {
  if (!system_memory::can_find_written()) GTEST_SKIP() << "This system does not tell which pages were written.";
  constexpr std::uint32_t kForks = 12;
  Sequence parent = make_sequence(1);
  fill(parent, 1, 140);
  const auto image = parent.freeze(*model_);
  std::deque<Sequence> forks;
  std::vector<cpu::KvSequence> rows(kForks + 2);
  const auto find = [&](const Sequence& sequence, cpu::KvSequence& found) {
    const ForwardRequest request = sequence.request(tokens(0, 0, 1));
    ForwardJob job(request);
    ASSERT_TRUE(passes_->start(job));
    find_kv_rows(job.binding(1), found);
  };
  for (std::uint32_t i = 0; i < kForks; ++i) {
    forks.emplace_back(*model_, parent, image);
    if (i % 2 == 0) fill(forks.back(), i, 3 + i);  // rows of its own behind those that it shares
    find(forks.back(), rows[i]);
  }
  // The same tokens, computed for itself, and others.
  Sequence alike = make_sequence(1);
  Sequence other = make_sequence(1);
  fill(alike, 1, 140);
  fill(other, 2, 140);
  find(alike, rows[kForks]);
  find(other, rows[kForks + 1]);

  const Hyperparameters& model = model_->hyperparameters();
  const auto plan = cpu::plan_attention(rows, {model.n_head, model.n_head_kv, model.head_dim}, 0, 2);
  ASSERT_EQ(plan.groups.size(), 1U);
  EXPECT_EQ(plan.groups[0].members.size(), kForks);
  EXPECT_TRUE(std::ranges::all_of(plan.groups[0].members, [](std::uint32_t member) { return member < kForks; }));
  EXPECT_GE(plan.groups[0].n_chunks, 1U);
}

TEST_P(ForwardBatch, APieceLooksAtItsRequestsFlagWhileItRuns) {
  Sequence sequence = make_sequence(3);
  ForwardRequest cancelled = request(sequence, 3);
  std::atomic<bool> cancel{false};
  cancelled.cancel = &cancel;
  ForwardJob job(cancelled);
  ASSERT_TRUE(passes_->start(job));
  const std::uint32_t n_tokens = job.left();
  passes_->run(PassPiece{&job, n_tokens, 1});
  ASSERT_FALSE(job.ended());
  cancel = true;
  passes_->run(PassPiece{&job, n_tokens, 1});
  const auto result = job.result();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  cancel = false;
  Sequence whole = make_sequence(3);
  const ForwardRequest requests[] = {request(whole, 3), cancelled};
  for (const ForwardRequest& again : requests) {
    ForwardJob next(again);
    ASSERT_TRUE(passes_->start(next));
    passes_->run(PassPiece{&next, n_tokens, passes_->piece_layers()});
    ASSERT_TRUE(next.ended() && next.result());
  }
  EXPECT_TRUE(all_bytes(whole) == all_bytes(sequence)) << "what it had written shows";
}

TEST_P(ForwardBatch, GivesAPieceThatIsRunByLayersTheBitsOfOnePass) {
  ASSERT_GT(passes_->piece_layers(), 1U);
  // Those of plan_of() that begin with 40 tokens and more, and with none, one and three behind others.
  for (const std::uint32_t i : {3U, 4U, 5U, 6U, 7U}) {
    Sequence whole = make_sequence(i);
    Sequence cut = make_sequence(i);
    Sequence other = make_sequence(i + 1);
    for (const Sequence* sequence : {&whole, &cut}) fill(*sequence, i, plan_of(i).n_past);
    const ForwardRequest whole_request = request(whole, i);
    ForwardJob whole_job(whole_request);
    ASSERT_TRUE(passes_->start(whole_job));
    const PassSlice slice{&whole_job, whole_job.left()};
    pass({&slice, 1});

    const ForwardRequest cut_request = request(cut, i);
    ForwardJob job(cut_request);
    ASSERT_TRUE(passes_->start(job));
    const std::uint32_t n_tokens = job.left();
    for (std::uint32_t step = 0; !job.ended(); ++step) {
      ASSERT_LT(step, passes_->piece_layers());
      EXPECT_EQ(job.layers_done(), step);
      passes_->run(PassPiece{&job, n_tokens, 1});
      // A pass of the same size that uses the same kernels, and no graph that was kept.
      fill(other, i, step == 0 ? n_tokens : 1);
      if (step == 1) passes_->drop_caches();
    }
    ASSERT_TRUE(job.result()) << job.result().error().to_string();
    EXPECT_TRUE(all_bytes(whole) == all_bytes(cut)) << "request " << i;
  }
}

TEST_P(ForwardBatch, GivesAPieceThatYieldsWithinItsLayersTheBitsOfOnePass) {
  constexpr std::uint32_t kTokens = 130;
  for (const Outputs outputs : {Outputs::last, Outputs::none}) {
    Sequence whole = make_sequence(1);
    Sequence cut = make_sequence(1);
    Sequence other = make_sequence(1);
    const ForwardRequest whole_request = whole.request(tokens(1, 0, kTokens), outputs);
    ForwardJob whole_job(whole_request);
    ASSERT_TRUE(passes_->start(whole_job));
    const PassSlice slice{&whole_job, kTokens};
    pass({&slice, 1});

    const ForwardRequest cut_request = cut.request(tokens(1, 0, kTokens), outputs);
    ForwardJob job(cut_request);
    ASSERT_TRUE(passes_->start(job));
    const std::atomic<bool> yield{true};
    std::uint32_t runs = 0;
    for (; !job.ended(); ++runs) {
      ASSERT_LT(job.layers_done(), passes_->piece_layers());
      passes_->run(PassPiece{&job, kTokens, passes_->piece_layers(), &yield});
      fill(other, 1, 1);
    }
    ASSERT_TRUE(job.result()) << job.result().error().to_string();
    EXPECT_GT(runs, passes_->piece_layers());
    EXPECT_TRUE(all_bytes(whole) == all_bytes(cut));
  }
}

TEST_P(ForwardBatch, KeepsNoGraphOfAPieceThatWasGivenUp) {
  Sequence sequence = make_sequence(3);
  const ForwardRequest requested = request(sequence, 3);
  ForwardJob job(requested);
  ASSERT_TRUE(passes_->start(job));
  passes_->run(PassPiece{&job, job.left(), 1});
  passes_->drop_caches();
  EXPECT_NE(device_->graphs(), 0U) << "a piece that has had some layers goes on with its graph";
  passes_->give_up(job);
  EXPECT_EQ(device_->graphs(), 0U);
}

TEST_P(ForwardBatch, BeginsAnewAfterAPieceThatWasGivenUp) {
  Sequence whole = make_sequence(3);
  Sequence given_up = make_sequence(3);
  Sequence cut = make_sequence(3);
  const ForwardRequest whole_request = request(whole, 3);
  const ForwardRequest cut_request = request(cut, 3);
  const ForwardRequest given_up_request = request(given_up, 3);
  ForwardJob whole_job(whole_request);
  ASSERT_TRUE(passes_->start(whole_job));
  const PassSlice slice{&whole_job, whole_job.left()};
  pass({&slice, 1});
  {
    ForwardJob job(given_up_request);
    ASSERT_TRUE(passes_->start(job));
    passes_->run(PassPiece{&job, job.left(), 1});
    passes_->give_up(job);
  }
  ForwardJob job(cut_request);
  ASSERT_TRUE(passes_->start(job));
  const std::uint32_t n_tokens = job.left();
  passes_->run(PassPiece{&job, n_tokens, 1});
  passes_->run(PassPiece{&job, n_tokens, passes_->piece_layers()});
  ASSERT_TRUE(job.ended() && job.result());
  EXPECT_TRUE(all_bytes(whole) == all_bytes(cut));
}

INSTANTIATE_TEST_SUITE_P(Models, ForwardBatch, ::testing::ValuesIn(cases()), [](const auto& test) {
  return fmt::format("{}_{}{}", test.param.architecture, ggml_type_name(test.param.type),
                     test.param.strict ? "_strict" : "");
});

}  // namespace
}  // namespace driftwood
