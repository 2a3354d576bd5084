#include "wasm/wasi_clock.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <optional>

#include "wasm/determinism.hpp"
#include "wasm/guest_array.hpp"
#include "wasm/store_data.hpp"
#include "wasm/wasi.hpp"
#include "wasm/wasi_errno.hpp"
#include "wasm/watch.hpp"

namespace driftwood {

namespace {

using std::chrono::duration_cast;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

// Numbers and layouts: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
constexpr std::uint32_t kRealtime = 0;
constexpr std::uint32_t kMonotonic = 1;
constexpr std::uint8_t kClockEvent = 0;
constexpr std::uint8_t kWriteEvent = 2;
constexpr std::uint16_t kAbsoluteTime = 1;

struct Subscription {
  std::uint64_t userdata;
  std::uint8_t type;
  std::uint32_t clock_or_descriptor;  // at 16: the union's place
  std::uint32_t padding;
  std::uint64_t timeout;
  std::uint64_t precision;
  std::uint16_t flags;
};
static_assert(sizeof(Subscription) == 48 && offsetof(Subscription, timeout) == 24 &&
              offsetof(Subscription, flags) == 40);

struct Event {
  std::uint64_t userdata;
  std::uint16_t error;
  std::uint8_t type;
  std::uint64_t bytes;
  std::uint16_t flags;
};
static_assert(sizeof(Event) == 32 && offsetof(Event, type) == 10 && offsetof(Event, bytes) == 16);

/// Longer waits are cut to this, so that no sum of times overflows.
constexpr std::uint64_t kLongestWait = std::uint64_t{10} * 365 * 24 * 3600 * 1'000'000'000;

/// What the guest's clocks show at one moment, in nanoseconds.
struct Clocks {
  explicit Clocks(const Determinism* determinism)
      : realtime(determinism != nullptr ? determinism->clock_ns : count(system_clock::now())),
        monotonic(determinism != nullptr ? determinism->clock_ns : count(steady_clock::now())) {}

  std::optional<std::uint64_t> of(std::uint32_t clock) const {
    if (clock == kRealtime) return realtime;
    if (clock == kMonotonic) return monotonic;
    return std::nullopt;
  }

  std::uint64_t realtime;
  std::uint64_t monotonic;

 private:
  template <typename Time>
  static std::uint64_t count(Time time) {
    return static_cast<std::uint64_t>(duration_cast<nanoseconds>(time.time_since_epoch()).count());
  }
};

/// How long a subscription waits from `now`, in nanoseconds; nothing for one that WASI does not have.
std::optional<std::uint64_t> wait_of(const Subscription& subscription, const Clocks& now) {
  if (subscription.type != kClockEvent) {
    return subscription.type <= kWriteEvent ? std::optional<std::uint64_t>(0) : std::nullopt;
  }
  const auto time = now.of(subscription.clock_or_descriptor);
  if (!time) return std::nullopt;
  std::uint64_t wait = subscription.timeout;
  if ((subscription.flags & kAbsoluteTime) != 0) wait -= std::min(wait, *time);
  return std::min(wait, kLongestWait);
}

/// (clock, result: pointer to u64)
std::int32_t resolution(const StoreData& store, const wasmtime_val_raw_t* slots) {
  const auto clock = static_cast<std::uint32_t>(slots[0].i32);
  const GuestArray result(store.memory, slots[1].i32, 8);
  if (clock != kRealtime && clock != kMonotonic) return wasi_errno::kInvalid;
  if (!result.is_there()) return wasi_errno::kFault;
  const std::uint64_t step = store.determinism != nullptr ? kVirtualClockStep : 1;
  std::memcpy(result.at(0), &step, 8);
  return wasi_errno::kSuccess;
}

/// (clock, precision, result: pointer to u64)
std::int32_t read_clock(const StoreData& store, const wasmtime_val_raw_t* slots) {
  const GuestArray result(store.memory, slots[2].i32, 8);
  const auto time = Clocks(store.determinism).of(static_cast<std::uint32_t>(slots[0].i32));
  if (!time) return wasi_errno::kInvalid;
  if (!result.is_there()) return wasi_errno::kFault;
  std::memcpy(result.at(0), &*time, 8);
  if (store.determinism != nullptr) store.determinism->clock_ns += kVirtualClockStep;
  return wasi_errno::kSuccess;
}

/// (subscriptions, events, how many, result: pointer to u32)
std::int32_t poll(const StoreData& store, const wasmtime_val_raw_t* slots) {
  const auto count = static_cast<std::uint32_t>(slots[2].i32);
  const GuestArray subscriptions(store.memory, slots[0].i32, count * sizeof(Subscription));
  const GuestArray events(store.memory, slots[1].i32, count * sizeof(Event));
  const GuestArray result(store.memory, slots[3].i32, 4);
  if (count == 0) return wasi_errno::kInvalid;
  if (!subscriptions.is_there() || !events.is_there() || !result.is_there()) return wasi_errno::kFault;

  const auto subscription_at = [&](std::uint32_t i) {
    Subscription subscription;
    std::memcpy(&subscription, subscriptions.at(i * sizeof subscription), sizeof subscription);
    return subscription;
  };
  const Clocks now(store.determinism);
  std::uint64_t shortest = kLongestWait;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto wait = wait_of(subscription_at(i), now);
    if (!wait) return wasi_errno::kInvalid;
    shortest = std::min(shortest, *wait);
  }
  const nanoseconds to_wait(store.determinism != nullptr ? 0 : shortest);
  if (!store.watch->sleep_until(steady_clock::now() + to_wait)) return wasi_errno::kInterrupted;
  if (store.determinism != nullptr) store.determinism->clock_ns += shortest;

  std::uint32_t ready = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Subscription subscription = subscription_at(i);
    if (wait_of(subscription, now) > shortest) continue;
    Event event{};
    event.userdata = subscription.userdata;
    event.type = subscription.type;
    event.bytes = subscription.type == kClockEvent ? 0 : 1;
    std::memcpy(events.at(ready++ * sizeof event), &event, sizeof event);
  }
  std::memcpy(result.at(0), &ready, sizeof ready);
  return wasi_errno::kSuccess;
}

template <auto function>
void entry(void* store_data, wasmtime_val_raw_t* slots) {
  slots[0].i32 = function(*static_cast<const StoreData*>(store_data), slots);
}

constexpr std::array kFunctions = {
    HostFunction{kWasiModule, "clock_res_get", "ii", "i", entry<resolution>},
    HostFunction{kWasiModule, "clock_time_get", "iIi", "i", entry<read_clock>},
    HostFunction{kWasiModule, "poll_oneoff", "iiii", "i", entry<poll>},
};

}  // namespace

std::span<const HostFunction> wasi_clock_functions() noexcept { return kFunctions; }

}  // namespace driftwood
