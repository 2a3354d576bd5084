// Threads of a node: order, waiting for each other, turns, and how many there are.
#include "actor/workers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

namespace driftwood {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kStack = std::size_t{1} << 18;

TEST(Workers, JobsMayWaitForEachOtherUpToTheLimit) {
  Workers workers({.limit = 20, .stack_bytes = kStack});
  std::latch all(20);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(workers.run([&] {
      all.arrive_and_wait();
      return false;
    }));
  }
  all.wait();
  workers.stop();
}

TEST(Workers, NoMoreThanTheLimitRunAtOnce) {
  Workers workers({.limit = 3, .stack_bytes = kStack, .patience = milliseconds(0)});
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(workers.run([&] {
      most = std::max(most.load(), ++running);
      std::this_thread::sleep_for(milliseconds(1));
      --running;
      return false;
    }));
  }
  workers.stop();
  EXPECT_LE(most, 3);
}

TEST(Workers, JobsBeginInOrderAndThoseThatGoOnWaitForTheOthers) {
  Workers workers({.limit = 1, .stack_bytes = kStack});
  std::vector<int> begun;
  std::latch ready(1);
  ASSERT_TRUE(workers.run([&] {
    ready.wait();
    return false;
  }));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(workers.run([&begun, i, again = true]() mutable {
      begun.push_back(i);
      return std::exchange(again, false);
    }));
  }
  ready.count_down();
  workers.stop();
  EXPECT_THAT(begun, testing::ElementsAre(0, 1, 2, 0, 1, 2));
}

TEST(Workers, ShortJobsMakeNoCrowd) {
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  Workers workers({.limit = 256, .stack_bytes = kStack, .patience = std::chrono::hours(1)});
  std::atomic<int> done = 0;
  std::size_t most = 0;
  for (int i = 0; i < 5000; ++i) {
    ASSERT_TRUE(workers.run([&] {
      ++done;
      return false;
    }));
    most = std::max(most, workers.threads());
  }
  workers.stop();
  EXPECT_EQ(done, 5000);
  EXPECT_LE(most, cores + 1);
}

TEST(Workers, ThreadsWithoutWorkEnd) {
  Workers workers({.limit = 4, .stack_bytes = kStack, .linger = milliseconds(20)});
  for (int round = 0; round < 3; ++round) {
    std::latch all(4);
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE(workers.run([&] {
        all.arrive_and_wait();
        return false;
      }));
    }
    all.wait();
    for (int waits = 0; workers.threads() != 0 && waits < 1000; ++waits) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    EXPECT_EQ(workers.threads(), 0U);
  }
}

TEST(Workers, StopWaitsForEveryJob) {
  std::atomic<int> done = 0;
  Workers workers({.limit = 2, .stack_bytes = kStack});
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(workers.run([&, turns = 3]() mutable {
      if (--turns > 0) return true;
      ++done;
      return false;
    }));
  }
  workers.stop();
  EXPECT_EQ(done, 50);
  EXPECT_EQ(workers.threads(), 0U);
}

TEST(Workers, SayWhenTheSystemGivesNoThread) {
  Workers workers({.limit = 2, .stack_bytes = std::size_t{1} << 60});
  bool ran = false;
  const auto refused = workers.run([&] {
    ran = true;
    return false;
  });
  workers.stop();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace driftwood
