// The host's own cores, through ggml's CPU kernels: tensors lie in the Region's
// memory itself, so an import costs nothing and copies nothing.
#pragma once

#include "device/driver.hpp"

namespace driftwood {

/// invalid_argument: a number of threads that is negative or more than ggml's limit.
Result<std::unique_ptr<Device>> create_cpu_device(const DeviceOptions& options);
/// "auto" takes it where there is nothing better.
DeviceDriver cpu_driver();

}  // namespace driftwood
