// Each piece of the work is done once, whoever does it, and run() waits for all.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "core/crew.hpp"

namespace driftwood {
namespace {

TEST(Crew, EachPieceIsDoneOnceBeforeRunReturns) {
  Crew crew(7);
  for (const std::size_t n : {0, 1, 2, 3, 64, 1000}) {
    std::vector<std::atomic<int>> done(n);
    crew.run(n, [&](std::size_t i) { ++done[i]; });
    for (const auto& count : done) EXPECT_EQ(count, 1);
  }
}

TEST(Crew, AHelperTakesPartWhileTheCallerIsAtWork) {
  Crew crew(1);
  if (crew.size() == 1) GTEST_SKIP() << "This machine has one core.";
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // until the helper sleeps
    std::atomic<int> begun{0};
    std::atomic<bool> together{true};
    crew.run(2, [&](std::size_t) {
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      for (++begun; begun != 2 && together;) {
        if (std::chrono::steady_clock::now() > deadline) together = false;
        std::this_thread::yield();
      }
    });
    ASSERT_TRUE(together);
  }
}

TEST(Crew, HelpersThatComeLateTouchNothingOfAnEarlierRun) {
  Crew crew(7);
  std::atomic<std::size_t> sum{0};
  for (std::size_t round = 0; round < 5000; ++round) {
    const std::vector<std::size_t> pieces(3, round);
    crew.run(pieces.size(), [&](std::size_t i) { sum += pieces[i]; });
  }
  EXPECT_EQ(sum, 3 * (4999 * 5000 / 2));
}

TEST(Crew, WithoutHelpersTheCallerDoesAll) {
  Crew crew(0);
  int count = 0;
  crew.run(5, [&](std::size_t) { ++count; });
  EXPECT_EQ(count, 5);
}

TEST(Crew, ThoseWhoLookForWorkAndThoseWhoSleepDoTheSame) {
  for (const auto patience :
       {std::chrono::microseconds(0), std::chrono::microseconds(50), std::chrono::microseconds(5000)}) {
    Crew crew(3, patience);
    std::atomic<std::size_t> sum{0};
    for (std::size_t round = 0; round < 2000; ++round) {
      crew.run(4, [&](std::size_t i) { sum += i + 1; });
      if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(6));  // until all sleep
      if (round % 300 == 0) crew.rest();
    }
    EXPECT_EQ(sum, 2000U * 10) << patience.count();
  }
}

}  // namespace
}  // namespace driftwood
