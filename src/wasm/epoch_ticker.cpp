#include "wasm/epoch_ticker.hpp"

#include <wasmtime.h>

namespace driftwood {

namespace {

constexpr int kIdleTicks = 10;

}  // namespace

EpochTicker::EpochTicker(wasm_engine_t* engine, std::chrono::milliseconds tick) : engine_(engine), tick_(tick) {}

EpochTicker::~EpochTicker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

EpochTicker::Hold EpochTicker::hold() {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
    ++holds_;
    wake = std::exchange(asleep_, false);
  }
  if (wake) changed_.notify_all();
  return Hold(*this);
}

void EpochTicker::release() noexcept {
  const std::lock_guard lock(mutex_);
  --holds_;
}

void EpochTicker::run() {
  std::unique_lock lock(mutex_);
  int idle_ticks = 0;
  while (!stopping_) {
    if (asleep_) {
      changed_.wait(lock, [this] { return stopping_ || !asleep_; });
      idle_ticks = 0;
    } else if (!changed_.wait_for(lock, tick_, [this] { return stopping_; })) {
      wasmtime_engine_increment_epoch(engine_);
      idle_ticks = holds_ == 0 ? idle_ticks + 1 : 0;
      asleep_ = idle_ticks == kIdleTicks;
    }
  }
}

}  // namespace driftwood
