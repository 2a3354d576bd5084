// Who asks first has the mutex first, also where its holder wants it back at once.
#include "core/fair_mutex.hpp"

#include <gtest/gtest.h>

#include <mutex>
#include <thread>
#include <vector>

namespace driftwood {
namespace {

void wait_for(const FairMutex& mutex, std::uint64_t waiting) {
  while (mutex.waiting() != waiting) std::this_thread::yield();
}

TEST(FairMutex, AThreadThatTakesItAgainComesAfterThoseThatWait) {
  FairMutex mutex;
  std::vector<int> order;
  const auto enter = [&](int who) {
    const std::lock_guard lock(mutex);
    order.push_back(who);
  };
  mutex.lock();
  std::vector<std::jthread> others;
  for (int who = 1; who <= 3; ++who) {
    others.emplace_back(enter, who);
    wait_for(mutex, static_cast<std::uint64_t>(who));
  }
  mutex.unlock();
  enter(0);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 0}));
}

TEST(FairMutex, IsTriedInVainWhereSomebodyHasIt) {
  FairMutex mutex;
  ASSERT_TRUE(mutex.try_lock());
  EXPECT_FALSE(mutex.try_lock());
  EXPECT_EQ(mutex.waiting(), 0U);
  mutex.unlock();
  const std::lock_guard lock(mutex);
  EXPECT_FALSE(mutex.try_lock());
}

TEST(FairMutex, OneThreadAtATimeHasIt) {
  FairMutex mutex;
  int count = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 2000; ++round) {
          const std::lock_guard lock(mutex);
          ++count;
        }
      });
    }
  }
  EXPECT_EQ(count, 8000);
  EXPECT_EQ(mutex.waiting(), 0U);
}

}  // namespace
}  // namespace driftwood
