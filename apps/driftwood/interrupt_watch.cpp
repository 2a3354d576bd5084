#include "interrupt_watch.hpp"

#include <pthread.h>
#include <signal.h>

#include <cstring>
#include <mutex>
#include <thread>

namespace driftwood::cli {
namespace {

sigset_t only_sigint() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  return set;
}

/// Ends the process by SIGINT, so that its parent sees why.
void die_by_sigint() {
  signal(SIGINT, SIG_DFL);
  const sigset_t set = only_sigint();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  raise(SIGINT);
}

}  // namespace

struct InterruptWatch::State {
  std::mutex mutex;
  std::function<void()> action;
  bool stopping = false;
  sigset_t previous{};
  std::thread thread;

  void wait() {
    const sigset_t set = only_sigint();
    while (true) {
      int number = 0;
      if (sigwait(&set, &number) != 0) continue;
      const std::lock_guard hold(mutex);
      if (stopping) return;
      if (!action) die_by_sigint();
      action();
    }
  }
};

Result<std::unique_ptr<InterruptWatch>> InterruptWatch::create() {
  auto state = std::make_unique<State>();
  const sigset_t set = only_sigint();
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, &state->previous); error != 0) {
    return fail(ErrorCode::internal, "SIGINT could not be blocked: " + std::string(std::strerror(error)) + ".");
  }
  state->thread = std::thread(&State::wait, state.get());
  return std::unique_ptr<InterruptWatch>(new InterruptWatch(std::move(state)));
}

InterruptWatch::InterruptWatch(std::unique_ptr<State> state) : state_(std::move(state)) {}

InterruptWatch::~InterruptWatch() {
  {
    const std::lock_guard hold(state_->mutex);
    state_->stopping = true;
  }
  pthread_kill(state_->thread.native_handle(), SIGINT);
  state_->thread.join();
  pthread_sigmask(SIG_SETMASK, &state_->previous, nullptr);
}

InterruptWatch::Scope::Scope(InterruptWatch& watch, std::function<void()> action) : watch_(watch) {
  const std::lock_guard hold(watch_.state_->mutex);
  watch_.state_->action = std::move(action);
}

InterruptWatch::Scope::~Scope() {
  const std::lock_guard hold(watch_.state_->mutex);
  watch_.state_->action = nullptr;
}

}  // namespace driftwood::cli
