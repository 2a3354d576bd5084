// One Forward on the CPU that many threads use at once: prompts, decoded tokens, and requests that are cancelled.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <random>
#include <thread>

#include "llm/forward.hpp"
#include "support/sequence.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

constexpr std::uint32_t kThreads = 32;
constexpr std::uint32_t kCtx = 512;

/// What an actor asks for, one after another.
struct Step {
  std::uint32_t n_tokens;
  Outputs outputs;
};

std::vector<Step> steps_of(std::uint32_t actor) {
  std::mt19937 random(actor);
  std::vector<Step> steps;
  for (int turn = 0; turn < 3; ++turn) {
    // Some prompts are small, some are pieces for long.
    const auto prompt = static_cast<std::uint32_t>(5 + random() % (actor % 4 == 0 ? 130 : 30));
    steps.push_back({prompt, random() % 2 == 0 ? Outputs::none : Outputs::last});
    for (auto n = 4 + random() % 12; n > 0; --n) {
      steps.push_back({1, random() % 4 == 0 ? Outputs::top_k : Outputs::last});
    }
    steps.push_back({3, Outputs::all});
  }
  return steps;
}

class ForwardThreads : public ::testing::Test {
 protected:
  void SetUp() override {
    RandomModelOptions options = representative_options("llama");
    options.n_layer = 4;
    options.n_embd = 256;
    options.n_ff = 256;
    options.head_dim = 32;
    options.n_ctx = kCtx;
    options.type = GGML_TYPE_Q4_1;
    const auto path = folder_.path() / "model.gguf";
    const auto written = write_random_model(options, path);
    ASSERT_TRUE(written) << written.error().to_string();
    device_ = value_of(open_device("cpu", {.threads = 2}));
    model_ = open_model(path, *device_);
    forward_ = value_of(Forward::create(model_, {.chunk = 64}));
    tokens_ = random_tokens(std::size_t{kThreads} * kCtx, options.n_vocab);
  }

  /// Runs an actor's steps; whether `cancel`, which may become true at any time, ended one, it comes again. The logits
  /// of all, and the Context.
  std::vector<std::byte> run(std::uint32_t actor, std::atomic<bool>* cancel) {
    const Sequence sequence(*model_, kCtx, actor % 3 == 0 ? KvType::q8_0 : KvType::f16, 3);
    std::vector<std::byte> seen;
    std::uint32_t done = 0;
    for (const Step& step : steps_of(actor)) {
      ForwardRequest request =
          sequence.request(std::span(tokens_).subspan(actor * kCtx + done, step.n_tokens), step.outputs);
      request.top_k = 5;
      request.priority = static_cast<std::int8_t>(static_cast<int>(actor % 5) - 2);
      request.cancel = cancel;
      Result<void> result = forward_->run(request);
      while (!result) {
        EXPECT_EQ(result.error().code, ErrorCode::cancelled) << result.error().to_string();
        if (result.error().code != ErrorCode::cancelled) return seen;
        EXPECT_EQ(count(sequence), done);
        ++cancelled_;
        cancel->store(false);
        result = forward_->run(request);
      }
      done += step.n_tokens;
      const std::size_t row = model_->hyperparameters().n_vocab * sizeof(float);
      const std::size_t bytes = step.outputs == Outputs::none    ? 0
                                : step.outputs == Outputs::top_k ? 5 * sizeof(TokenLogit)
                                : step.outputs == Outputs::all   ? step.n_tokens * row
                                                                 : row;
      seen.insert(seen.end(), sequence.logits(), sequence.logits() + bytes);
    }
    EXPECT_EQ(count(sequence), done);
    const auto rows = sequence.used(done);
    seen.insert(seen.end(), rows.begin(), rows.end());
    return seen;
  }
  std::uint32_t count(const Sequence& sequence) const {
    return value_of(check_context(sequence.context(), model_->hyperparameters(), model_->hash())).n_tokens;
  }

  TemporaryFolder folder_;
  std::unique_ptr<Device> device_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Forward> forward_;
  std::vector<Token> tokens_;
  std::atomic<std::uint32_t> cancelled_{0};
};

TEST_F(ForwardThreads, EachGetsTheBitsThatItHasAloneWhateverIsCancelledMeanwhile) {
  std::vector<std::vector<std::byte>> alone;
  for (std::uint32_t actor = 0; actor < kThreads; ++actor) alone.push_back(run(actor, nullptr));

  std::vector<std::vector<std::byte>> together(kThreads);
  std::array<std::atomic<bool>, kThreads> cancel{};
  std::atomic<bool> ended{false};
  std::jthread canceller([&] {
    std::mt19937 random(7);
    while (!ended) {
      cancel[random() % kThreads] = true;
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
    }
  });
  {
    std::vector<std::jthread> threads;
    for (std::uint32_t actor = 0; actor < kThreads; ++actor) {
      threads.emplace_back([&, actor] { together[actor] = run(actor, &cancel[actor]); });
    }
  }
  ended = true;
  for (std::uint32_t actor = 0; actor < kThreads; ++actor) {
    EXPECT_TRUE(alone[actor] == together[actor]) << "actor " << actor;
  }
  const ExecutorStatistics statistics = forward_->statistics();
  EXPECT_EQ(statistics.waiting, 0U);
  EXPECT_GT(statistics.passes, statistics.by_sequences[0]) << "nobody shared a pass";
  EXPECT_GT(cancelled_, 0U);
}

}  // namespace
}  // namespace driftwood
