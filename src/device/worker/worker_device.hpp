// A device whose computations run in a process of their own, which shares the node's memory: what ends that process,
// a driver's fault or an abort of ggml, ends no actor.
//
// To its users it is a Device like any other, without host kernels, host addresses, mirrors and a decoder. The worker
// has what it was given: pages of Regions (Region::share), files of weights, graphs by their ids. All of it is a cache:
// a worker that ended is started again and given it anew. What was being computed then fails with `unavailable`, and
// may be asked again (Device::compute). A worker that ends time after time, or comes back as another device, is
// device_lost.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "device/device.hpp"

namespace driftwood::worker {

struct WorkerOptions {
  std::filesystem::path program;                 ///< empty: find_worker_program()
  std::chrono::milliseconds time_limit{300000};  ///< of one computation
  DeviceOptions device;                          ///< for the worker, where its fields about workers are not used
};

/// Whether there is a program for workers. not_found, unsupported: why not.
Result<void> check_worker_program();

/// Opens `name`, as the worker's program knows it. Fails as open_device() does there; unavailable: it cannot be
/// started, or ended at once; unsupported: not on this system.
Result<std::unique_ptr<Device>> open_worker_device(const std::string& name, const WorkerOptions& options = {});

}  // namespace driftwood::worker
