// Vulkan: any GPU with a driver that imports host memory, through ggml's kernels for it.
#pragma once

#include "device/driver.hpp"

namespace driftwood {

DeviceDriver vulkan_driver();

}  // namespace driftwood
