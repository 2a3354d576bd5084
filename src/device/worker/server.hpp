// The device worker's side: opens the real device and does what the node asks, until the node is gone.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "device/device.hpp"

namespace driftwood::worker {

using OpenDevice =
    std::function<Result<std::unique_ptr<Device>>(const std::string& name, const DeviceOptions& options)>;

/// Serves the node at the other end of `socket` (a socket of Channel's kind, taken over); the value is an exit status.
int serve(int socket, const OpenDevice& open);

}  // namespace driftwood::worker
