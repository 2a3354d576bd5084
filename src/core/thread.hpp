// A thread whose stack has a given size: the system's default is too small for a guest's calls on some.
//
// Move-only; joined by its destructor. start() may be called from any thread.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <utility>

#include "core/error.hpp"

namespace driftwood {

class Thread {
 public:
  /// None.
  Thread() = default;
  /// Runs `body`, which must not throw, on a stack of `stack_bytes` (a multiple of the page size).
  /// unavailable: the system gives no thread.
  static Result<Thread> start(std::size_t stack_bytes, std::function<void()> body);
  Thread(Thread&& other) noexcept : handle_(std::exchange(other.handle_, std::nullopt)) {}
  Thread& operator=(Thread&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Thread() { join(); }

  /// Waits for the body to end; does nothing once it was joined. Never called by the thread itself.
  void join() noexcept;

 private:
  explicit Thread(pthread_t handle) : handle_(handle) {}
  std::optional<pthread_t> handle_;
};

}  // namespace driftwood
