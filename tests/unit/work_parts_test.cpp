// Tasks that lie one after another: each is done once, and a thread meets them in that order.
#include "device/cpu/work_parts.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <latch>
#include <numeric>
#include <thread>
#include <vector>

namespace driftwood::cpu {
namespace {

TEST(WorkParts, EachTaskIsDoneOnceInEveryRun) {
  for (const std::uint32_t n_threads : {2U, 3U, 8U}) {
    WorkParts parts;
    for (const std::uint32_t n : {0U, 1U, 2U, 7U, 64U, 1000U}) {
      std::vector<std::atomic<int>> done(n);
      std::vector<std::jthread> threads;
      for (std::uint32_t i = 0; i < n_threads; ++i) {
        threads.emplace_back([&] { parts.share(n_threads, n, [&](std::uint32_t task) { ++done[task]; }); });
      }
      threads.clear();
      for (const auto& count : done) EXPECT_EQ(count, 1) << n_threads << " threads, " << n << " tasks";
    }
  }
}

TEST(WorkParts, ACrewDoesEachTaskOnceInEveryRun) {
  Crew crew(3, std::chrono::microseconds(50));
  WorkParts parts(&crew);
  std::vector<int> done(100);
  constexpr int kRounds = 2000;
  for (int round = 0; round < kRounds; ++round) {
    parts.share(1, static_cast<std::uint32_t>(done.size()), [&](std::uint32_t task) { ++done[task]; });
  }
  EXPECT_EQ(done, std::vector<int>(100, kRounds));
}

TEST(WorkParts, OneThreadThatNobodyHelpsWalksThroughAll) {
  Crew crew(0);
  WorkParts parts(&crew);
  std::vector<std::uint32_t> order;
  parts.share(1, 10, [&](std::uint32_t task) { order.push_back(task); });
  std::vector<std::uint32_t> expected(10);
  std::iota(expected.begin(), expected.end(), 0U);
  EXPECT_EQ(order, expected);
}

TEST(WorkParts, TwoThreadsWalkThroughAHalfEach) {
  WorkParts parts;
  constexpr std::uint32_t kHalf = 5;
  std::latch begun(2);
  std::latch ended(2);  // so that neither takes from the other's half
  std::vector<std::vector<std::uint32_t>> orders(2);
  std::vector<std::jthread> threads;
  for (auto& order : orders) {
    threads.emplace_back([&] {
      parts.share(2, 2 * kHalf, [&](std::uint32_t task) {
        if (order.empty()) begun.arrive_and_wait();
        order.push_back(task);
        if (order.size() == kHalf) ended.arrive_and_wait();
      });
    });
  }
  threads.clear();
  std::ranges::sort(orders);
  EXPECT_EQ(orders, (std::vector<std::vector<std::uint32_t>>{{0, 1, 2, 3, 4}, {5, 6, 7, 8, 9}}));
}

TEST(WorkParts, WhoIsDoneTakesFromTheEndOfTheOthersPart) {
  WorkParts parts;
  constexpr std::uint32_t kTasks = 10;
  std::latch others(kTasks - 1);
  std::atomic<bool> is_first{true};
  const auto work = [&](std::uint32_t) {
    if (is_first.exchange(false)) {
      others.wait();  // for ever, if nobody took what this thread leaves
    } else {
      others.count_down();
    }
  };
  std::jthread other([&] { parts.share(2, kTasks, work); });
  parts.share(2, kTasks, work);
}

}  // namespace
}  // namespace driftwood::cpu
