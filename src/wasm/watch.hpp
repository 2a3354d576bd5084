// Watches one guest run: its deadline, its interruption, and how it ended.
//
// The guest's store calls check() at each epoch while it runs; interrupt() may come
// from any thread or signal handler at any time. One that comes between a check() and
// the store's taking its next deadline from the epoch is seen at the tick after, so the
// engine ticks while guests run. Internal to src/wasm.
#pragma once

#include <wasmtime.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <semaphore>

namespace driftwood {

/// The part of an Instance that other threads and the epoch callback see.
class Watch {
 public:
  enum class Ending : std::uint8_t { none, deadline, interrupted };

  /// Registers with the store, whose guest must not run once the Watch is gone.
  Watch(wasm_engine_t* engine, wasmtime_store_t* store, std::chrono::milliseconds limit);
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// Starts a run; false when one is going on.
  bool begin() noexcept;
  /// Ends the run; why check() ended the guest, if it did.
  Ending end() noexcept;

  void interrupt() noexcept;
  /// Interrupts the run that is going on, and every later one when it begins.
  void stop() noexcept;
  /// Waits, on the thread of the run. False when the run's deadline or an interruption came first.
  bool sleep_until(std::chrono::steady_clock::time_point time);
  bool interrupted() const noexcept { return phase_.load(std::memory_order_acquire) == Phase::interrupted; }
  bool limited() const noexcept { return limit_.count() > 0; }
  std::chrono::milliseconds limit() const noexcept { return limit_; }

 private:
  /// `starting`: taken, but not yet to be interrupted, since the store's epoch deadline is not set.
  enum class Phase : std::uint8_t { idle, starting, running, interrupted };

  static wasmtime_error_t* check(wasmtime_context_t* context, void* watch, std::uint64_t* delta,
                                 wasmtime_update_deadline_kind_t* kind);

  wasm_engine_t* engine_;
  wasmtime_context_t* context_;
  std::chrono::milliseconds limit_;
  std::atomic<Phase> phase_{Phase::idle};
  static_assert(std::atomic<Phase>::is_always_lock_free);  // interrupt() may run in a signal handler
  std::atomic<bool> stopped_{false};
  std::counting_semaphore<> wake_{0};  ///< one for each interruption; what is left over wakes a later sleep early
  std::chrono::steady_clock::time_point deadline_;
  Ending ending_ = Ending::none;
};

}  // namespace driftwood
