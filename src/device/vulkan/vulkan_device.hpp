// A Vulkan device: Regions' pages imported by its driver (VK_EXT_external_memory_host), ggml's kernels over them.
//
// Tensors of an Import have addresses of ggml's own, not the host's. Where the device shares the host's memory, or only
// pretends to be one, an import is the same memory, and weights are mapped as they lie in the file; a card reaches
// imports over its bus and gets weights uploaded once.
#pragma once

#include <ggml-backend.h>

#include "device/device.hpp"
#include "device/vulkan/probe.hpp"

namespace driftwood::vulkan {

/// What is known of device `index` without opening it.
DeviceInfo describe(const PhysicalDevice& device, std::size_t index);

/// unavailable, out_of_memory: the driver cannot set it up.
Result<std::unique_ptr<Device>> create_device(const PhysicalDevice& device, std::size_t index,
                                              ggml_backend_dev_t backend);

}  // namespace driftwood::vulkan
