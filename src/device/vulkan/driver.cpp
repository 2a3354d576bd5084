#include "device/vulkan/driver.hpp"

#include "device/vulkan/failure.hpp"
#include "device/vulkan/module.hpp"
#include "device/vulkan/probe.hpp"
#include "device/vulkan/vulkan_device.hpp"

namespace driftwood {
namespace {

Result<std::vector<DeviceListing>> list() {
  const auto& found = vulkan::physical_devices();
  if (!found) return std::unexpected(found.error());
  std::vector<DeviceListing> devices;
  for (const vulkan::PhysicalDevice& device : *found) {
    devices.push_back({.info = vulkan::describe(device, devices.size()),
                       .hardware = device.hardware,
                       .extensions = device.extensions,
                       .obstacle = device.obstacle});
  }
  return devices;
}

Result<std::unique_ptr<Device>> open(std::uint32_t number, const DeviceOptions&) {
  const auto& found = vulkan::physical_devices();
  if (!found) return std::unexpected(found.error());
  DW_TRY_ASSIGN(const ggml_backend_dev_t backend,
                vulkan::guarded("loading the driver", [&] { return vulkan::backend_device(*found, number); }));
  return vulkan::create_device((*found)[number], number, backend);
}

}  // namespace

DeviceDriver vulkan_driver() {
  return {.name = "vulkan", .numbered = true, .likely = vulkan::gpu_likely, .list = list, .open = open};
}

}  // namespace driftwood
