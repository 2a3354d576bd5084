// Keeps a device worker running: starts it, opens the device there, and starts it again when it ended.
//
// One thread at a time, but for notify(), which may come from any.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "device/worker/connection.hpp"
#include "device/worker/restarts.hpp"
#include "device/worker/worker_device.hpp"

namespace driftwood::worker {

class Supervisor {
 public:
  Supervisor(std::string device, WorkerOptions options) : device_(std::move(device)), options_(std::move(options)) {}

  /// Starts the first worker; the value is what its device is.
  Result<DeviceInfo> start();
  /// The worker, started again if it ended. device_lost: it ended too often, or is another device now.
  Result<Connection*> running();
  /// The number of the worker that runs, or ran last: what an older one was given is gone.
  std::uint64_t number() const noexcept { return number_.load(std::memory_order_relaxed); }

  /// To be called where a request failed: when the worker is at its end, or lost its device, notes that, and gives the
  /// error of whoever asked: `doing` ("a computation"; null: nobody did). Any other error is left as it is.
  Error explain(Error error, const char* doing);
  void note_success() noexcept { restarts_.note_success(); }
  /// Tells the worker something, if `worker` is still the one that runs.
  void notify(std::uint64_t worker, Kind kind, std::uint64_t id) noexcept;

 private:
  Result<DeviceInfo> launch();
  void drop();

  const std::string device_;
  const WorkerOptions options_;
  DeviceInfo info_;
  Restarts restarts_;
  std::string last_end_;
  std::mutex mutex_;  ///< of connection_, for notify()
  std::shared_ptr<Connection> connection_;
  std::atomic<std::uint64_t> number_{0};
};

}  // namespace driftwood::worker
