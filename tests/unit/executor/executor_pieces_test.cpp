// What comes between the layers of a large prompt, and how its piece ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "unit/executor/executor_fixture.hpp"

namespace driftwood {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Layers that take so long come one by one.
constexpr std::chrono::microseconds kOneAtATime{1100};

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

TEST_F(ExecutorTest, AShortRequestIsServedWithinALayerOfAPromptThatIsAlone) {
  make();
  passes_.layer_time = kOneAtATime;
  passes_.yields = true;
  Requester prompt(512), token(1);
  Result<void> token_result;
  std::jthread thread;
  const ForwardJob* job = nullptr;
  passes_.on_layers = [&](const PassPiece& piece) {
    job = piece.job;
    if (piece.job->layers_done() != 2 || thread.joinable()) return;
    thread = run(token, token_result);
    await_waiting(2);
  };
  std::vector<std::uint32_t> layers;
  passes_.on_pass = [&] { layers.push_back(job->layers_done()); };
  ASSERT_TRUE(executor_->run(prompt.request));
  thread.join();
  EXPECT_TRUE(token_result);
  EXPECT_THAT(sizes(), ElementsAre(1, 512));
  EXPECT_EQ(layers.front(), 2U);
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
  auto leader = run_held(first, results[0]);
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

TEST_F(ExecutorTest, OfTwoPromptsTheOneWhosePieceIsNextLeads) {
  make();
  Requester first(1), token(1), served(20), fresh(2000);
  Result<void> results[4];
  // Has had something, so that the other one's turn is first.
  ASSERT_TRUE(executor_->run(served.request));
  served.tokens.resize(2000);
  served.request.tokens = served.tokens;
  auto leader = run_held(first, results[0], 2);
  auto decoder = run(token, results[1]);
  await_waiting(2);
  auto older = run(served, results[2]);
  await_waiting(3);
  auto newer = run(fresh, results[3]);
  await_waiting(4);
  std::thread::id by;
  passes_.on_layers = [&](const PassPiece&) {
    if (by == std::thread::id()) by = std::this_thread::get_id();
  };
  const auto newers_thread = newer.get_id();
  passes_.release();
  for (std::jthread* thread : {&leader, &decoder, &older, &newer}) thread->join();
  for (const auto& result : results) EXPECT_TRUE(result);
  EXPECT_EQ(by, newers_thread);
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

}  // namespace
}  // namespace driftwood
