#include "wasm/watch.hpp"

#include <utility>

namespace driftwood {

Watch::Watch(wasm_engine_t* engine, wasmtime_store_t* store, std::chrono::milliseconds limit)
    : engine_(engine), context_(wasmtime_store_context(store)), limit_(limit) {
  wasmtime_store_epoch_deadline_callback(store, check, this, nullptr);
}

bool Watch::begin() noexcept {
  auto expected = Phase::idle;
  if (!phase_.compare_exchange_strong(expected, Phase::starting, std::memory_order_acq_rel)) return false;
  ending_ = Ending::none;
  if (limited()) deadline_ = std::chrono::steady_clock::now() + limit_;
  wasmtime_context_set_epoch_deadline(context_, 1);
  // In one order with stop(): either it sees the phase, or this sees what it set.
  phase_.store(Phase::running, std::memory_order_seq_cst);
  if (stopped_.load(std::memory_order_seq_cst)) interrupt();
  return true;
}

Watch::Ending Watch::end() noexcept {
  phase_.store(Phase::idle, std::memory_order_release);
  return std::exchange(ending_, Ending::none);
}

void Watch::interrupt() noexcept {
  auto expected = Phase::running;
  if (phase_.compare_exchange_strong(expected, Phase::interrupted, std::memory_order_seq_cst)) {
    wasmtime_engine_increment_epoch(engine_);
    wake_.release();
  }
}

void Watch::stop() noexcept {
  stopped_.store(true, std::memory_order_seq_cst);
  interrupt();
}

bool Watch::sleep_until(std::chrono::steady_clock::time_point time) {
  const bool too_long = limited() && deadline_ < time;
  const auto end = too_long ? deadline_ : time;
  while (!interrupted() && std::chrono::steady_clock::now() < end) {
    static_cast<void>(wake_.try_acquire_until(end));
  }
  return !too_long && !interrupted();
}

wasmtime_error_t* Watch::check(wasmtime_context_t* /*context*/, void* watch, std::uint64_t* delta,
                               wasmtime_update_deadline_kind_t* kind) {
  auto& self = *static_cast<Watch*>(watch);
  if (self.interrupted()) {
    self.ending_ = Ending::interrupted;
    return wasmtime_error_new("interrupted");
  }
  if (self.limited() && std::chrono::steady_clock::now() >= self.deadline_) {
    self.ending_ = Ending::deadline;
    return wasmtime_error_new("deadline");
  }
  *delta = 1;
  *kind = WASMTIME_UPDATE_DEADLINE_CONTINUE;
  return nullptr;
}

}  // namespace driftwood
