// ggml's Vulkan back end, a module that is loaded when a Vulkan device is first opened.
#pragma once

#include <ggml-backend.h>

#include <span>

#include "core/error.hpp"
#include "device/vulkan/probe.hpp"

namespace driftwood::vulkan {

/// ggml's device for devices[index]. The first call loads the module, tells it of `devices` through the process's
/// environment (GGML_VK_VISIBLE_DEVICES, the only way that ggml has), and later ones must give the same. Any thread.
/// unavailable: the module or what it needs is not installed; incompatible: it is of another version of ggml.
Result<ggml_backend_dev_t> backend_device(std::span<const PhysicalDevice> devices, std::size_t index);

}  // namespace driftwood::vulkan
