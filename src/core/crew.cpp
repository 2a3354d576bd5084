#include "core/crew.hpp"

#include <algorithm>

namespace driftwood {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// state_: the job's number, then whether it is open, then the helpers at it.
constexpr std::uint32_t kOpen = 1U << 15;
constexpr std::uint32_t kInside = kOpen - 1;
constexpr std::uint32_t kJob = 1U << 16;

constexpr std::uint32_t job_of(std::uint32_t state) noexcept { return state / kJob; }

// A thread that looks at its clock every microsecond, and finds that this took as long, did not have its core.
constexpr microseconds kLostCore{200};
constexpr milliseconds kCrowded{200};         // for which nobody looks for long after that
constexpr microseconds kCrowdedPatience{20};  // about what it takes to wake a thread
constexpr int kLooks = 32;                    // between two looks at the clock

void pause_core() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Crew::Crew(unsigned most_helpers, microseconds patience) : patience_(patience) {
  const unsigned n = std::min({most_helpers, std::max(1U, std::thread::hardware_concurrency()) - 1, kInside});
  for (unsigned i = 0; i < n; ++i) {
    helpers_.emplace_back([this] { help(); });
  }
}

Crew::~Crew() {
  ended_.store(true);
  state_.fetch_add(kJob);
  state_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

template <typename Done>
bool Crew::look(const Done& done, bool is_helper) {
  if (done()) return true;
  if (patience_.count() == 0) return false;
  const Clock::time_point begin = Clock::now();
  Clock::time_point last = begin;
  while (!(is_helper && resting_.load(std::memory_order_relaxed))) {
    for (int i = 0; i < kLooks; ++i) {
      if (done()) return true;
      pause_core();
    }
    const Clock::time_point now = Clock::now();
    if (now - last > kLostCore) {
      crowded_until_.store((now + kCrowded).time_since_epoch().count(), std::memory_order_relaxed);
    }
    last = now;
    const bool crowded = now.time_since_epoch().count() < crowded_until_.load(std::memory_order_relaxed);
    if (now - begin > (crowded ? std::min(kCrowdedPatience, patience_) : patience_)) break;
  }
  return done();
}

void Crew::together(const std::function<void()>& work) {
  if (helpers_.empty()) {
    work();
    return;
  }
  work_ = &work;
  resting_.store(false, std::memory_order_relaxed);
  state_.store((job_of(state_.load(std::memory_order_relaxed)) + 1) * kJob | kOpen);
  state_.notify_all();  // a call of the system only where somebody sleeps
  work();
  state_.fetch_and(~kOpen);
  const auto alone = [this] { return (state_.load() & kInside) == 0; };
  while (!look(alone, false)) {
    caller_sleeps_.store(1);
    if (alone()) break;
    caller_sleeps_.wait(1);
  }
  caller_sleeps_.store(0, std::memory_order_relaxed);
}

void Crew::help() {
  std::uint32_t done = 0;  // the job that this helper was at last
  while (true) {
    std::uint32_t state = 0;
    const auto wanted = [&] {
      state = state_.load();
      return ended_.load() || ((state & kOpen) != 0 && job_of(state) != done);
    };
    while (!look(wanted, true)) state_.wait(state);
    if (ended_.load()) return;
    if (!state_.compare_exchange_strong(state, state + 1)) continue;
    (*work_)();
    done = job_of(state);
    const std::uint32_t before = state_.fetch_sub(1);
    if ((before & (kInside | kOpen)) == 1 && caller_sleeps_.exchange(0) != 0) caller_sleeps_.notify_one();
  }
}

void Crew::run(std::size_t n, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  const auto take = [&] {
    for (std::size_t i = next.fetch_add(1); i < n; i = next.fetch_add(1)) work(i);
  };
  if (n < 2) {
    take();
  } else {
    together(take);
  }
}

}  // namespace driftwood
