// Turns Ctrl-C into a call, on an ordinary thread: SIGINT is blocked in the thread that makes the watch and in
// those that it starts later, and a thread of the watch waits for it.
#pragma once

#include <functional>
#include <memory>

#include "core/error.hpp"

namespace driftwood::cli {

class InterruptWatch {
 public:
  /// Make it before any other thread is started, and once a process.
  static Result<std::unique_ptr<InterruptWatch>> create();
  /// SIGINT is as it was before.
  ~InterruptWatch();

  /// While the object lives, SIGINT calls `action` on the watch's thread; otherwise it ends the process, as it
  /// does by default. One at a time.
  class Scope {
   public:
    Scope(InterruptWatch& watch, std::function<void()> action);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    InterruptWatch& watch_;
  };

 private:
  struct State;
  explicit InterruptWatch(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood::cli
