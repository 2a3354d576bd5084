// A CUDA device: ggml's kernels over imports of guest memory, over mirrors of KV rows, and a decoder of our own.
//
// On a card an import is mapped over the bus: its tensors have the host's addresses, and
// their pages are registered when they are placed. Weights are uploaded once. KV rows are
// read in mirrors (device/mirror), unless DeviceOptions give them no room.
#pragma once

#include <ggml-backend.h>

#include <memory>

#include "device/device.hpp"

namespace driftwood::cuda {

/// What is known of a device without setting it up. unavailable: no such device.
Result<DeviceInfo> describe(int number);
Result<std::unique_ptr<Device>> create_device(int number, DeviceInfo info, ggml_backend_dev_t backend,
                                              const DeviceOptions& options);

}  // namespace driftwood::cuda
