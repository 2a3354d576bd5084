// How the executor shares passes among threads, and in what order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "unit/executor/executor_fixture.hpp"

namespace driftwood {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

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
  std::vector<std::jthread> threads;
  threads.push_back(run_held(*requesters[0], results[0]));
  for (std::size_t i = 1; i < 9; ++i) threads.push_back(run(*requesters[i], results[i]));
  await_waiting(9);
  passes_.release();
  threads.clear();
  EXPECT_THAT(sizes(), ElementsAre(1, 8));
  for (const auto& result : results) EXPECT_TRUE(result);
  EXPECT_EQ(executor_->statistics().requests, 9U);
  EXPECT_EQ(executor_->statistics().by_sequences[3], 1U);
}

TEST_F(ExecutorTest, ThreadsInLockStepShareTheirPasses) {
  make();
  // A fraction of it is waited for those who are back soon, and it is well above what they think.
  passes_.on_pass = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  const auto decode = [&] {
    Requester token(1);
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(executor_->run(token.request));
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
  };
  {
    const std::jthread other(decode);
    decode();
  }
  // 11 where none comes late, 20 where each waits for the other.
  EXPECT_LE(passes_.passes().size(), 15U);
}

TEST_F(ExecutorTest, ThePassBeginsOnceAllAreBack) {
  make();
  Requester first(1), second(1);
  Result<void> results[2];
  auto leader = run_held(first, results[0]);
  auto other = run(second, results[1]);
  await_waiting(2);
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  passes_.release();
  leader.join();
  // The other one's pass waits for the first one to come back, a hundred milliseconds at most.
  const auto back = std::chrono::steady_clock::now();
  EXPECT_TRUE(executor_->run(first.request));
  EXPECT_LE(std::chrono::steady_clock::now() - back, std::chrono::milliseconds(70));
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
  auto leader = run_held(first, first_result);
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

TEST_F(ExecutorTest, CountsWhatItsPassesServedAndHowLongRequestsWaited) {
  make();
  Requester token(1), other(1), prompt(1000);
  Result<void> results[2];
  passes_.layer_time = std::chrono::milliseconds(1);
  ASSERT_TRUE(executor_->run(prompt.request));
  auto leader = run_held(token, results[0], 3);
  auto waiting = run(other, results[1]);
  await_waiting(2);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  passes_.release();
  leader.join();
  waiting.join();
  const ExecutorStatistics counted = executor_->statistics();
  EXPECT_EQ(counted.requests, 3U);
  EXPECT_EQ(counted.passes, 4U) << "a chunk is one, whatever number of steps it took";
  EXPECT_EQ(counted.tokens, 1002U);
  EXPECT_EQ(counted.by_sequences[0], 4U);
  EXPECT_GE(counted.passes_ns, 40'000'000U);
  EXPECT_GE(counted.most_waited_us, 20'000U);
  EXPECT_GE(counted.waited_us, counted.most_waited_us);
}

TEST_F(ExecutorTest, RefusesMoreThanMayWait) {
  make(2);
  Requester first(1), second(1), third(1);
  Result<void> first_result, second_result;
  auto leader = run_held(first, first_result);
  auto waiting = run(second, second_result);
  await_waiting(2);
  const auto refused = executor_->run(third.request);
  passes_.release();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_EQ(executor_->statistics().refused, 1U);
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
  auto leader = run_held(first, results[0]);
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
  auto leader = run_held(first, results[0]);
  {
    auto a = run(twice, results[1]);
    auto b = run(twice, results[2]);
    await_waiting(3);
    passes_.release();
  }
  EXPECT_THAT(sizes(), ElementsAre(1, 1, 1));
  EXPECT_TRUE(results[1] && results[2]);
}

}  // namespace
}  // namespace driftwood
