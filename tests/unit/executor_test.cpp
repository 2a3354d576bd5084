// How the executor shares passes among threads: over passes that only count.
#include "llm/executor/executor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
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
// Layers that take so long come one by one.
constexpr std::chrono::microseconds kOneAtATime{1100};

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
    std::this_thread::sleep_for(layer_time * piece.n_layers);
    if (on_layers) on_layers(piece);
    on_its_way_ = nullptr;
    if (failing == job.request().memory) return job.fail({ErrorCode::device_lost, "Gone.", {}});
    if (end != kLayers) on_its_way_ = &job;
    if (end != kLayers) return job.advance_layers(piece.n_tokens, end);
    note({{job.request().memory, piece.n_tokens}});
    job.advance(piece.n_tokens);
  }
  void give_up(const ForwardJob& job) noexcept override {
    EXPECT_EQ(on_its_way_, &job);
    on_its_way_ = nullptr;
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
  std::function<void(const PassPiece&)> on_layers;
  std::chrono::microseconds layer_time{0};  ///< of a piece

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

TEST_F(ExecutorTest, AShortRequestIsServedBetweenTheLayersOfALargePrompt) {
  make();
  passes_.layer_time = kOneAtATime;
  Requester prompt(512), token(1);
  Result<void> token_result;
  std::jthread thread;
  passes_.on_layers = [&](const PassPiece& piece) {
    if (piece.job->layers_done() != 2) return;
    thread = run(token, token_result);
    await_waiting(2);
  };
  ASSERT_TRUE(executor_->run(prompt.request));
  thread.join();
  EXPECT_TRUE(token_result);
  EXPECT_THAT(sizes(), ElementsAre(1, 512));
}

TEST_F(ExecutorTest, ASmallPromptIsServedBetweenTheLayersOfALargeOne) {
  make();
  passes_.layer_time = kOneAtATime;
  Requester large(512), small(20);
  Result<void> small_result;
  std::jthread thread;
  passes_.on_layers = [&](const PassPiece& piece) {
    if (piece.job->layers_done() != 2) return;
    thread = run(small, small_result);
    await_waiting(2);
  };
  ASSERT_TRUE(executor_->run(large.request));
  thread.join();
  EXPECT_TRUE(small_result);
  EXPECT_THAT(sizes(), ElementsAre(20, 512));
}

TEST_F(ExecutorTest, WhoDecodesIsWokenBeforeThePieceAfterItsPass) {
  make();
  Requester first(1), token(1), prompt(2000);
  Result<void> results[3];
  passes_.hold();
  auto leader = run(first, results[0]);
  passes_.await(1);
  std::atomic<bool> returned{false};
  std::jthread decoder([&] {
    results[1] = executor_->run(token.request);
    returned = true;
  });
  await_waiting(2);
  auto other = run(prompt, results[2]);
  await_waiting(3);
  // The first layers end only once the decoder has its token.
  std::thread::id by;
  passes_.on_layers = [&](const PassPiece& piece) {
    if (piece.job->layers_done() != 0 || piece.job->done() != 0) return;
    by = std::this_thread::get_id();
    while (!returned) std::this_thread::yield();
  };
  const auto prompts_thread = other.get_id();
  passes_.release();
  decoder.join();
  other.join();
  EXPECT_TRUE(results[1] && results[2]);
  EXPECT_EQ(by, prompts_thread) << "who has the most to do leads";
}

TEST_F(ExecutorTest, APromptThatIsCancelledBetweenItsLayersEndsAndMakesWay) {
  make();
  passes_.layer_time = kOneAtATime;
  Requester prompt(2000), other(700);
  passes_.on_layers = [&](const PassPiece& piece) {
    if (piece.job->layers_done() == 3 && piece.job->done() != 0) prompt.cancel = true;
  };
  const auto result = executor_->run(prompt.request);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  EXPECT_THAT(result.error().message, HasSubstr("after 512 of 2000 tokens"));
  EXPECT_EQ(executor_->statistics().cancelled, 1U);
  EXPECT_TRUE(executor_->run(other.request)) << "another piece may begin";
  EXPECT_THAT(sizes(), ElementsAre(512, 512, 188));
}

TEST_F(ExecutorTest, APromptThatFailsBetweenItsLayersFailsAlone) {
  make();
  passes_.layer_time = kOneAtATime;
  Requester prompt(2000), other(700);
  Result<void> other_result;
  std::jthread thread;
  passes_.on_layers = [&](const PassPiece& piece) {
    if (piece.job->layers_done() != 3 || thread.joinable()) return;
    thread = run(other, other_result);
    await_waiting(2);
    passes_.failing = &prompt.memory;
  };
  const auto result = executor_->run(prompt.request);
  thread.join();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::device_lost);
  EXPECT_TRUE(other_result);
  EXPECT_THAT(sizes(), ElementsAre(512, 188));
}

TEST_F(ExecutorTest, ALeaderThatIsCancelledLeavesABegunPieceToItsOwner) {
  make();
  passes_.layer_time = kOneAtATime;
  Requester leader(2000), other(512);
  Result<void> other_result;
  std::jthread thread;
  std::thread::id last;
  passes_.on_layers = [&](const PassPiece& piece) {
    last = std::this_thread::get_id();
    if (!thread.joinable()) {
      thread = run(other, other_result);
      await_waiting(2);
    }
    if (piece.job->request().memory == &other.memory && piece.job->layers_done() == 3) leader.cancel = true;
  };
  const auto result = executor_->run(leader.request);
  const auto others_thread = thread.get_id();
  thread.join();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  EXPECT_TRUE(other_result);
  EXPECT_THAT(sizes(), ElementsAre(512, 512));
  EXPECT_EQ(last, others_thread);
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
  using Clock = BatchFormer::Clock;

  /// The slices of the next pass among `requesters`, each by its tokens, and the piece that ended after it; those that
  /// have none left get others.
  std::map<const Requester*, std::uint32_t> pass(std::vector<Requester*> requesters) {
    std::vector<ForwardJob*> jobs;
    for (Requester* requester : requesters) {
      auto& job = jobs_[requester];
      if (!job || job->left() == 0) job = std::make_unique<ForwardJob>(requester->request);
      jobs.push_back(job.get());
    }
    const auto next = former_.next(jobs, now_);
    std::map<const Requester*, std::uint32_t> slices;
    pass_us_ = next.empty() ? 0 : 10e3;
    for (const PassSlice& slice : next) {
      slices[of(slice.job)] = slice.n_tokens;
      if (slice.job->left() > kShortRequest) pass_us_ += 1e3 * slice.n_tokens;
      slice.job->advance(slice.n_tokens);
    }
    if (!next.empty()) former_.note(pass_us_);
    run_piece(slices);
    EXPECT_FALSE(slices.empty() && piece_us_ == 0) << "a pass of nothing";
    wait(pass_us_ + piece_us_);
    return slices;
  }
  /// Passes until some tokens have had all layers.
  std::map<const Requester*, std::uint32_t> passes(const std::vector<Requester*>& requesters) {
    for (std::uint32_t i = 0; i < kLayers; ++i) {
      if (auto slices = pass(requesters); !slices.empty()) return slices;
    }
    ADD_FAILURE() << "nothing ends";
    return {};
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
    const std::uint32_t end = piece->job->layers_done() + piece->n_layers;
    ASSERT_LE(end, kLayers);
    if (end != kLayers) {
      piece->job->advance_layers(piece->n_tokens, end);
    } else {
      slices[of(piece->job)] = piece->n_tokens;
      piece->job->advance(piece->n_tokens);
    }
    former_.note_piece(piece_us_);
  }
  void wait(double us) {
    now_ += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::micro>(us));
  }
  /// How much later `decoder` has tokens beside `prompt`, as a part of what a pass takes: over some passes.
  double delay(Requester& decoder, Requester& prompt) {
    for (int i = 0; i < 20; ++i) pass({&decoder});
    for (int i = 0; i < 20; ++i) pass({&decoder, &prompt});
    double pieces = 0;
    for (int i = 0; i < 1000; ++i) {
      EXPECT_TRUE(pass({&decoder, &prompt}).contains(&decoder));
      pieces += piece_us_;
    }
    return pieces / (1000 * 10e3);
  }

  BatchFormer former_{{.chunk = 512, .max_sequences = 8, .piece_layers = kLayers}};
  Clock::time_point now_{std::chrono::hours(1)};
  double pass_us_ = 0;   ///< of the last pass's slices
  double piece_us_ = 0;  ///< of its piece
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

TEST_F(BatchFormerTest, PiecesGrowToWholeChunksWhenNobodyDecodesAnyMore) {
  Requester decoder(1), prompt(100000);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  for (int i = 0; i < 5; ++i) pass({&decoder, &prompt});
  std::uint32_t last = 0;
  const auto stopped = now_;
  while (last < 512) {
    const auto slices = passes({&prompt});
    EXPECT_GE(slices.at(&prompt), last);
    last = slices.at(&prompt);
    ASSERT_LE(now_ - stopped, std::chrono::seconds(2));
  }
}

TEST_F(BatchFormerTest, WhoDecodedLastAndBringsAPromptIsNotWaitedFor) {
  Requester actor(1);
  for (int i = 0; i < 5; ++i) pass({&actor});
  actor.tokens.resize(4000);
  actor.request.tokens = actor.tokens;
  EXPECT_EQ(passes({&actor}).at(&actor), 512U);
}

TEST_F(BatchFormerTest, WhoThinksBetweenTokensWaitsForNoMoreThanHalfItsTime) {
  for (const double think_us : {2e3, 20e3, 100e3}) {
    Requester decoder(1), prompt(1'000'000);
    for (int i = 0; i < 5; ++i) pass({&decoder});
    const auto begin = now_;
    std::uint32_t done = 0;
    for (int i = 0; i < 50; ++i) {
      const auto slices = pass({&decoder, &prompt});
      if (slices.contains(&prompt)) done += slices.at(&prompt);
      const auto back = now_ + std::chrono::microseconds(static_cast<int>(think_us)) -
                        std::chrono::microseconds(static_cast<int>(piece_us_));
      while (now_ < back) {
        for (const auto& [requester, n] : pass({&prompt})) done += n;
      }
      const double waited = std::chrono::duration<double, std::micro>(now_ - back).count();
      EXPECT_LE(waited, (10e3 + think_us) / 2 + 1) << "a token after " << think_us << " us";
    }
    const double us = std::chrono::duration<double, std::micro>(now_ - begin).count();
    EXPECT_GE(1e3 * done, 0.8 * (us - 50 * 10e3)) << "the prompt has the time between";
  }
}

TEST_F(BatchFormerTest, WhoComesWhileALargeChunkIsOnItsWayWaitsForOneLayerAndHasItsShareThen) {
  Requester decoder(1), prompt(100000);
  pass({&prompt});
  pass({&prompt});
  ASSERT_EQ(jobs_[&prompt]->piece(), 512U);
  EXPECT_LE(piece_us_, 512 * 100);
  double pieces = 0;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(pass({&decoder, &prompt}).contains(&decoder));
    EXPECT_LE(piece_us_, 512 * 100) << "one layer";
    pieces += piece_us_;
  }
  EXPECT_NEAR(pieces / (100 * 10e3), 0.5, 0.1);
}

TEST_F(BatchFormerTest, PiecesAreNoLargerThanAChunk) {
  former_ = BatchFormer({.chunk = 8, .max_sequences = 8, .piece_layers = kLayers});
  Requester decoder(1), prompt(20);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  while (!jobs_[&prompt] || jobs_[&prompt]->left() != 0) {
    const auto slices = pass({&decoder, &prompt});
    EXPECT_LE(slices.contains(&prompt) ? slices.at(&prompt) : 0, 8U);
  }
  jobs_.clear();
  now_ += std::chrono::minutes(1);
  for (const std::uint32_t n : {8U, 8U, 4U}) EXPECT_EQ(passes({&prompt}).at(&prompt), n);
}

TEST_F(BatchFormerTest, OnlyWhatIsAPieceOnItsWayIsMeasured) {
  Requester decoder(1), prompt(100000);
  for (int i = 0; i < 5; ++i) pass({&decoder});
  for (int i = 0; i < 50; ++i) pass({&decoder, &prompt});
  // One that failed at once, and beginnings with which graphs are made.
  const auto step = [&](double us, bool fails) {
    former_.note(10e3);
    const auto piece = former_.piece();
    ASSERT_TRUE(piece);
    if (fails) piece->job->fail({ErrorCode::device_lost, "Gone.", {}});
    former_.note_piece(us);
  };
  const std::vector<Requester*> both = {&decoder, &prompt};
  for (int i = 0; i < 20; ++i) {
    std::vector<std::unique_ptr<ForwardJob>> jobs;
    for (Requester* requester : both) jobs.push_back(std::make_unique<ForwardJob>(requester->request));
    if (i % 2 == 0) jobs[1]->advance_layers(16, 3);
    ForwardJob* const list[] = {jobs[0].get(), jobs[1].get()};
    former_.next(list, now_);
    step(i % 2 == 0 ? 1 : 1e6, i % 2 == 0);
  }
  jobs_.clear();
  for (int i = 0; i < 20; ++i) {
    pass({&decoder, &prompt});
    EXPECT_GE(piece_us_, 1.6e3);
    EXPECT_LE(piece_us_, 5e3);
  }
}

TEST_F(BatchFormerTest, PromptsTakeTurns) {
  Requester large(20000), small(1000);
  for (int i = 0; i < 6; ++i) passes({&large});
  std::uint32_t rounds = 0;
  for (std::uint32_t done = 0; done < 1000; ++rounds) {
    const auto slices = passes({&large, &small});
    if (slices.contains(&small)) done += slices.at(&small);
    ASSERT_LE(rounds, 4U) << "the one that came later waits for the other";
  }
}

TEST_F(BatchFormerTest, EachStepOfPriorityDoublesWhatAPromptHasBesideDecodedTokens) {
  for (const int step : {-5, -4, -1, 0, 1, 2, 3}) {
    for (const int decoders : {-3, 0, 4}) {
      Requester decoder(1, static_cast<std::int8_t>(decoders));
      Requester prompt(1'000'000, static_cast<std::int8_t>(decoders + step));
      const double wanted = 0.5 * std::exp2(step);
      EXPECT_NEAR(delay(decoder, prompt) / wanted, 1, 0.25) << step << " above " << decoders;
      jobs_.clear();
    }
  }
}

TEST_F(BatchFormerTest, TheMostUrgentDecoderSaysWhatAPromptMayHave) {
  Requester urgent(1, 3), plain(1), prompt(1'000'000, 3);
  for (int i = 0; i < 20; ++i) pass({&urgent, &plain, &prompt});
  double pieces = 0;
  for (int i = 0; i < 100; ++i) {
    pass({&urgent, &plain, &prompt});
    pieces += piece_us_;
  }
  EXPECT_NEAR(pieces / (100 * 10e3), 0.5, 0.1);
}

TEST_F(BatchFormerTest, PriorityGivesAShareAndStarvesNobody) {
  Requester urgent(100000, 2), plain(100000);
  std::uint32_t had[2] = {};
  for (int i = 0; i < 50; ++i) {
    for (const auto& [requester, n] : passes({&urgent, &plain})) had[requester == &urgent ? 0 : 1] += n;
  }
  EXPECT_NEAR(static_cast<double>(had[0]) / had[1], 4.0, 0.5);
}

TEST_F(BatchFormerTest, TheLeastPriorityBesideTheMostStillGetsOn) {
  Requester urgent(4'000'000, kMostPriority), patient(1000, -kMostPriority);
  std::uint32_t had[2] = {};
  for (int i = 0; i < 500; ++i) {
    for (const auto& [requester, n] : passes({&urgent, &patient})) had[requester == &urgent ? 0 : 1] += n;
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
