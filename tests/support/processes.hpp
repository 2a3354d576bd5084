// Processes that a test forks and that come to the same places at the same time.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <vector>

#include "support/pipe.hpp"

namespace driftwood::testing {

class Processes {
 public:
  /// Tells that a process has come so far, and waits for the test's go_on(). A process that nobody hears ends.
  using Meet = std::function<void()>;

  /// Each of `n` runs `work`, whose result, 0 where all went well, is its exit status. One that hangs is killed.
  Processes(int n, const std::function<int(const Meet&)>& work) {
    for (int i = 0; i < n; ++i) {
      go_.push_back(std::make_unique<Pipe>());
      children_.push_back(::fork());
      if (children_.back() == 0) ::_exit(run(work));
      go_.back()->only_tell();
    }
    here_.only_wait();
  }
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  /// Until all have come to where they meet next.
  void await_all() const {
    for (std::size_t i = 0; i < children_.size(); ++i) ASSERT_TRUE(here_.wait());
  }
  void go_on() const {
    for (const auto& go : go_) ASSERT_TRUE(go->tell());
  }
  /// Until all have ended.
  void expect_all_went_well() const {
    for (const pid_t child : children_) {
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      EXPECT_EQ(status, 0) << "exit status " << WEXITSTATUS(status);
    }
  }

 private:
  int run(const std::function<int(const Meet&)>& work) {
    ::alarm(60);
    here_.only_tell();
    const std::unique_ptr<Pipe> go = std::move(go_.back());
    go_.clear();
    go->only_wait();
    return work([&] {
      if (!here_.tell() || !go->wait()) ::_exit(100);
    });
  }

  Pipe here_;
  std::vector<std::unique_ptr<Pipe>> go_;  ///< one for each, so that nobody takes another's word
  std::vector<pid_t> children_;
};

}  // namespace driftwood::testing
