// How the executor shares passes among threads: over passes that only count.
#include "llm/executor/executor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace driftwood {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint32_t kLayers = 10;

/// One request's thread has a memory of its own; the fake never looks into it.
struct Requester {
  explicit Requester(std::uint32_t n_tokens, std::int8_t priority = 0) : tokens(n_tokens) {
    request.memory = &memory;
    request.tokens = tokens;
    request.priority = priority;
    request.cancel = &cancel;
  }
  Import memory;
  std::vector<Token> tokens;
  std::atomic<bool> cancel{false};
  ForwardRequest request;
};

/// Notes each pass's slices, and stands still in a pass as long as it is held.
class CountingPasses final : public Passes {
 public:
  struct Slice {
    const Import* memory;
    std::uint32_t n_tokens;
    bool operator==(const Slice&) const = default;
  };

  Result<void> start(ForwardJob& job) override {
    if (refused == job.request().memory) return fail(ErrorCode::corrupt, "Not a Context.");
    return {};
  }
  void run(std::span<const PassSlice> slices) override {
    std::vector<Slice> pass;
    for (const PassSlice& slice : slices) pass.push_back({slice.job->request().memory, slice.n_tokens});
    note(std::move(pass));
    for (const PassSlice& slice : slices) {
      if (failing == slice.job->request().memory) {
        slice.job->fail({ErrorCode::device_lost, "Gone.", {}});
      } else {
        slice.job->advance(slice.n_tokens);
      }
    }
  }
  /// Noted when it ends.
  void run(const PassPiece& piece) override {
    ForwardJob& job = *piece.job;
    EXPECT_TRUE(on_its_way_ == nullptr || on_its_way_ == &job) << "two pieces at a time";
    EXPECT_TRUE(job.piece() == 0 || job.piece() == piece.n_tokens) << "another piece of the job";
    const std::uint32_t end = job.layers_done() + piece.n_layers;
    ASSERT_LE(end, kLayers);
    if (failing == job.request().memory) return job.fail({ErrorCode::device_lost, "Gone.", {}});
    if (on_layers) on_layers();
    on_its_way_ = end == kLayers ? nullptr : &job;
    if (end != kLayers) return job.advance_layers(piece.n_tokens, end);
    note({{job.request().memory, piece.n_tokens}});
    job.advance(piece.n_tokens);
  }

  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
    let_through_ = passes_.size();
  }
  void release() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  /// Waits until that many passes have begun.
  void await(std::size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return passes_.size() >= n; });
  }
  std::vector<std::vector<Slice>> passes() const {
    const std::lock_guard lock(mutex_);
    return passes_;
  }

  const Import* refused = nullptr;
  const Import* failing = nullptr;
  std::function<void()> on_pass;
  std::function<void()> on_layers;

 private:
  void note(std::vector<Slice> pass) {
    std::unique_lock lock(mutex_);
    passes_.push_back(std::move(pass));
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_ || passes_.size() <= let_through_; });
    lock.unlock();
    if (on_pass) on_pass();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<Slice>> passes_;
  const ForwardJob* on_its_way_ = nullptr;  ///< whose piece has had some layers
  bool held_ = false;
  std::size_t let_through_ = 0;
};

class ExecutorTest : public ::testing::Test {
 protected:
  void make(std::uint32_t max_waiting = 64) {
    executor_ = std::make_unique<Executor>(
        passes_, ExecutorOptions{.batch = {.chunk = 512, .max_sequences = 256, .piece_layers = kLayers},
                                 .max_waiting = max_waiting});
  }
  /// Runs a request on a thread of its own.
  std::jthread run(Requester& requester, Result<void>& result) {
    return std::jthread([&] { result = executor_->run(requester.request); });
  }
  void await_waiting(std::uint64_t n) const {
    while (executor_->statistics().waiting < n) std::this_thread::yield();
  }
  std::vector<std::uint32_t> sizes() const {
    std::vector<std::uint32_t> sizes;
    for (const auto& pass : passes_.passes()) {
      sizes.push_back(0);
      for (const auto& slice : pass) sizes.back() += slice.n_tokens;
    }
    return sizes;
  }

  CountingPasses passes_;
  std::unique_ptr<Executor> executor_;
};

TEST_F(ExecutorTest, AThreadThatIsAloneRunsItsPassesItselfInWholeChunks) {
  make();
  std::vector<std::thread::id> threads;
  passes_.on_pass = [&] { threads.push_back(std::this_thread::get_id()); };
  Requester prompt(1200);
  ASSERT_TRUE(executor_->run(prompt.request));
  EXPECT_THAT(sizes(), ElementsAre(512, 512, 176));
  EXPECT_THAT(threads, ::testing::Each(std::this_thread::get_id()));
}

TEST_F(ExecutorTest, AfterARestAPromptTakesWholeChunksThoughADecodedTokenWasLast) {
  make();
  Requester token(1);
  Requester prompt(1000);
  ASSERT_TRUE(executor_->run(token.request));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ASSERT_TRUE(executor_->run(prompt.request));
  EXPECT_THAT(sizes(), ElementsAre(1, 512, 488));
}

TEST_F(ExecutorTest, ThoseWhoWaitShareTheNextPass) {
  make();
  std::vector<std::unique_ptr<Requester>> requesters;
  for (int i = 0; i < 9; ++i) requesters.push_back(std::make_unique<Requester>(1));
  std::vector<Result<void>> results(9);
  passes_.hold();
  std::vector<std::jthread> threads;
  threads.push_back(run(*requesters[0], results[0]));
  passes_.await(1);
  for (std::size_t i = 1; i < 9; ++i) threads.push_back(run(*requesters[i], results[i]));
  await_waiting(9);
  passes_.release();
  threads.clear();
  EXPECT_THAT(sizes(), ElementsAre(1, 8));
  for (const auto& result : results) EXPECT_TRUE(result);
  EXPECT_EQ(executor_->statistics().requests, 9U);
  EXPECT_EQ(executor_->statistics().by_sequences[3], 1U);
}

TEST_F(ExecutorTest, ManyThreadsThatComeAndGoAllGetThrough) {
  make();
  std::vector<std::jthread> threads;
  std::atomic<int> succeeded{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      Requester prompt(700 + 100 * static_cast<std::uint32_t>(i));
      succeeded += executor_->run(prompt.request).has_value() ? 1 : 0;
      for (int n = 0; n < 100; ++n) {
        Requester token(1);
        succeeded += executor_->run(token.request).has_value() ? 1 : 0;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(succeeded, 8 * 101);
  EXPECT_EQ(executor_->statistics().waiting, 0U);
}

TEST_F(ExecutorTest, ARequestThatIsCancelledWhileItWaitsIsInNoPass) {
  make();
  Requester first(1), second(1);
  Result<void> first_result, second_result;
  passes_.hold();
  auto leader = run(first, first_result);
  passes_.await(1);
  auto waiting = run(second, second_result);
  await_waiting(2);
  second.cancel = true;
  passes_.release();
  waiting.join();
  ASSERT_FALSE(second_result);
  EXPECT_EQ(second_result.error().code, ErrorCode::cancelled);
  EXPECT_THAT(second_result.error().message, HasSubstr("after 0 of 1 tokens"));
  EXPECT_EQ(passes_.passes().size(), 1U);
}

TEST_F(ExecutorTest, ALongRequestEndsBetweenPassesWhenItIsCancelled) {
  make();
  Requester prompt(2000);
  passes_.on_pass = [&] { prompt.cancel = true; };
  const auto result = executor_->run(prompt.request);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("after 512 of 2000 tokens"));
  EXPECT_EQ(executor_->statistics().cancelled, 1U);
}

TEST_F(ExecutorTest, RefusesMoreThanMayWait) {
  make(2);
  Requester first(1), second(1), third(1);
  Result<void> first_result, second_result;
  passes_.hold();
  auto leader = run(first, first_result);
  passes_.await(1);
  auto waiting = run(second, second_result);
  await_waiting(2);
  const auto refused = executor_->run(third.request);
  passes_.release();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("2 forward passes wait"));
  waiting.join();
  EXPECT_TRUE(second_result);
  EXPECT_TRUE(executor_->run(third.request));
}

TEST_F(ExecutorTest, ARequestThatFailsFailsAlone) {
  make();
  Requester first(1), refused(1), failing(1), fine(1);
  passes_.refused = &refused.memory;
  passes_.failing = &failing.memory;
  Result<void> results[4];
  passes_.hold();
  auto leader = run(first, results[0]);
  passes_.await(1);
  {
    auto a = run(refused, results[1]);
    auto b = run(failing, results[2]);
    auto c = run(fine, results[3]);
    await_waiting(4);
    passes_.release();
  }
  EXPECT_EQ(results[1].error().code, ErrorCode::corrupt);
  EXPECT_EQ(results[2].error().code, ErrorCode::device_lost);
  EXPECT_TRUE(results[3]);
}

TEST_F(ExecutorTest, RequestsOfOneMemoryAreNeverInOnePass) {
  make();
  Requester first(1), twice(1);
  Result<void> results[3];
  passes_.hold();
  auto leader = run(first, results[0]);
  passes_.await(1);
  {
    auto a = run(twice, results[1]);
    auto b = run(twice, results[2]);
    await_waiting(3);
    passes_.release();
  }
  EXPECT_THAT(sizes(), ElementsAre(1, 1, 1));
  EXPECT_TRUE(results[1] && results[2]);
}

/// Passes of a machine that takes 10 ms for decoded tokens and 100 us for each layer of a token of a prompt.
class BatchFormerTest : public ::testing::Test {
 protected:
  /// The slices of the next pass among `requesters`, each by its tokens; those that have none left get others.
  std::map<const Requester*, std::uint32_t> pass(std::vector<Requester*> requesters) {
    std::vector<ForwardJob*> jobs;
    for (Requester* requester : requesters) {
      auto& job = jobs_[requester];
      if (!job || job->left() == 0) job = std::make_unique<ForwardJob>(requester->request);
      jobs.push_back(job.get());
    }
    const auto next = former_.next(jobs);
    std::map<const Requester*, std::uint32_t> slices;
    double us = 10e3;
    for (const PassSlice& slice : next) {
      slices[of(slice.job)] = slice.n_tokens;
      if (slice.job->left() > kShortRequest) us += 1e3 * slice.n_tokens;
      slice.job->advance(slice.n_tokens);
    }
    if (!next.empty()) former_.note(us);
    run_piece(slices);
    EXPECT_FALSE(slices.empty() && piece_us_ == 0) << "a pass of nothing";
    return slices;
  }
  const Requester* of(const ForwardJob* job) const {
    return std::ranges::find(jobs_, job, [](const auto& entry) { return entry.second.get(); })->first;
  }
  /// Adds the piece's tokens where it ends.
  void run_piece(std::map<const Requester*, std::uint32_t>& slices) {
    piece_us_ = 0;
    const auto piece = former_.piece();
    if (!piece) return;
    ASSERT_GE(piece->n_layers, 1U);
    piece_us_ = 100.0 * piece->n_tokens * piece->n_layers;
    former_.note_piece(piece_us_);
    const std::uint32_t end = piece->job->layers_done() + piece->n_layers;
    ASSERT_LE(end, kLayers);
    if (end != kLayers) return piece->job->advance_layers(piece->n_tokens, end);
    slices[of(piece->job)] = piece->n_tokens;
    piece->job->advance(piece->n_tokens);
  }

  BatchFormer former_{{.chunk = 512, .max_sequences = 8, .piece_layers = kLayers}};
  double piece_us_ = 0;  ///< of the last pass's piece
  std::map<Requester*, std::unique_ptr<ForwardJob>> jobs_;
};

TEST_F(BatchFormerTest, APromptTakesNoMoreThanItsPassMayLast) {
  Requester decoder(1), prompt(4000);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  std::uint32_t done = 0;
  for (int i = 0; i < 40; ++i) {
    const auto slices = pass({&decoder, &prompt});
    EXPECT_TRUE(slices.contains(&decoder)) << i;
    EXPECT_LE(piece_us_, 5e3) << i;
    if (slices.contains(&prompt)) done += slices.at(&prompt);
  }
  EXPECT_GE(done, 36U * 4) << "the prompt goes on";
}

TEST_F(BatchFormerTest, APieceGoesOnThoughOthersHadLess) {
  Requester decoder(1), first(4000), second(4000);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  std::map<const Requester*, std::uint32_t> had;
  for (int i = 0; i < 100; ++i) {
    for (const auto& [requester, n] : pass({&decoder, &first, &second})) had[requester] += n;
    EXPECT_FALSE(jobs_[&first]->piece() != 0 && jobs_[&second]->piece() != 0) << "two pieces at a time";
  }
  EXPECT_NEAR(had[&first], had[&second], 64);
  EXPECT_GT(had[&first], 100U);
}

TEST_F(BatchFormerTest, APieceEndsAtOnceWhenNobodyDecodesAnyMore) {
  Requester decoder(1), prompt(4000);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  while (!jobs_[&prompt] || jobs_[&prompt]->layers_done() == 0) pass({&decoder, &prompt});
  for (int i = 0; i < 5; ++i) pass({&prompt});
  EXPECT_EQ(jobs_[&prompt]->piece(), 0U);
  EXPECT_EQ(pass({&prompt}).at(&prompt), 512U);
}

TEST_F(BatchFormerTest, APromptTakesWholeChunksWhereNobodyDecodes) {
  Requester decoder(1), prompt(4000);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  for (int i = 0; i < 4; ++i) pass({&prompt});
  EXPECT_EQ(pass({&prompt}).at(&prompt), 512U);
}

TEST_F(BatchFormerTest, PromptsTakeTurns) {
  Requester large(20000), small(1000);
  for (int i = 0; i < 6; ++i) pass({&large});
  std::uint32_t passes = 0;
  for (std::uint32_t done = 0; done < 1000; ++passes) {
    const auto slices = pass({&large, &small});
    if (slices.contains(&small)) done += slices.at(&small);
    ASSERT_LE(passes, 4U) << "the one that came later waits for the other";
  }
}

TEST_F(BatchFormerTest, PriorityGivesAShareAndStarvesNobody) {
  Requester urgent(100000, 2), plain(100000);
  std::uint32_t had[2] = {};
  for (int i = 0; i < 50; ++i) {
    for (const auto& [requester, n] : pass({&urgent, &plain})) had[requester == &urgent ? 0 : 1] += n;
  }
  EXPECT_NEAR(static_cast<double>(had[0]) / had[1], 4.0, 0.5);
}

TEST_F(BatchFormerTest, TheLeastPriorityBesideTheMostStillGetsOn) {
  Requester urgent(4'000'000, kMostPriority), patient(1000, -kMostPriority);
  std::uint32_t had[2] = {};
  for (int i = 0; i < 500; ++i) {
    for (const auto& [requester, n] : pass({&urgent, &patient})) had[requester == &urgent ? 0 : 1] += n;
  }
  EXPECT_GT(had[1], 0U);
  EXPECT_GT(had[0], 100 * had[1]);
}

TEST_F(BatchFormerTest, MoreDecodersThanFitTakeTurnsAndLeaveRoomForAPrompt) {
  std::vector<std::unique_ptr<Requester>> decoders;
  std::vector<Requester*> all;
  for (int i = 0; i < 20; ++i) {
    decoders.push_back(std::make_unique<Requester>(1));
    all.push_back(decoders.back().get());
  }
  Requester prompt(4000);
  all.push_back(&prompt);
  std::map<const Requester*, std::uint32_t> had;
  for (int i = 0; i < 50; ++i) {
    for (const auto& [requester, n] : pass(all)) had[requester] += n;
  }
  for (const auto& decoder : decoders) EXPECT_NEAR(had[decoder.get()], 50 * 8 / 20, 1);
  EXPECT_GT(had[&prompt], 100U);
}

}  // namespace
}  // namespace driftwood
