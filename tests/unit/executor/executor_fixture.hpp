// An executor over passes that only count, and threads that bring it requests.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "llm/executor/executor.hpp"
#include "unit/executor/counting_passes.hpp"
#include "unit/executor/requester.hpp"

namespace driftwood {

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
  /// The same where the executor is idle; returns when its pass, number `pass` of all, runs until passes_.release().
  std::jthread run_held(Requester& requester, Result<void>& result, std::size_t pass = 1) {
    passes_.hold();
    std::jthread leader = run(requester, result);
    passes_.await(pass);
    return leader;
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

}  // namespace driftwood
