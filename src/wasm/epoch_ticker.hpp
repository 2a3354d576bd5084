// Advances the engine's epoch at a steady pace while guests run.
//
// Compiled code compares the epoch with its store's deadline at each loop and
// function entry; that is how a guest which never returns is ended. Some ticks after
// the last hold the thread goes to sleep, so that an idle process does not wake, and
// short calls in a row do not pay for waking it. Any thread may call.
// Internal to src/wasm.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <utility>

struct wasm_engine_t;

namespace driftwood {

class EpochTicker {
 public:
  /// Keeps the epoch ticking while it lives. Move-only.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept : ticker_(std::exchange(other.ticker_, nullptr)) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(ticker_, other.ticker_);
      return *this;
    }
    ~Hold() {
      if (ticker_ != nullptr) ticker_->release();
    }

   private:
    friend class EpochTicker;
    explicit Hold(EpochTicker& ticker) : ticker_(&ticker) {}
    EpochTicker* ticker_ = nullptr;
  };

  /// `engine` must outlive the ticker. The thread is started by the first hold.
  EpochTicker(wasm_engine_t* engine, std::chrono::milliseconds tick);
  ~EpochTicker();
  EpochTicker(const EpochTicker&) = delete;
  EpochTicker& operator=(const EpochTicker&) = delete;

  Hold hold();

 private:
  void release() noexcept;
  void run();

  wasm_engine_t* engine_;
  std::chrono::milliseconds tick_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t holds_ = 0;
  bool asleep_ = true;  ///< the thread waits to be notified of a hold
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace driftwood
