#include <array>
#include <span>

#include "device/choice.hpp"
#include "device/cpu/cpu_device.hpp"
#include "device/cuda/driver.hpp"
#include "device/device.hpp"
#include "device/driver.hpp"
#include "device/metal/driver.hpp"
#include "device/null/null_device.hpp"
#include "device/vulkan/driver.hpp"

namespace driftwood {
namespace {

/// Every kind of device; "auto" takes the first that has hardware of its own.
std::span<const DeviceDriver> drivers() {
  static const std::array all = {cuda_driver(), metal_driver(), vulkan_driver(), cpu_driver(), null_driver()};
  return all;
}

}  // namespace

Result<std::unique_ptr<Device>> open_device(std::string_view name, const DeviceOptions& options) {
  return choose_device(drivers(), name, options);
}

std::vector<DeviceListing> list_devices() { return list_devices_of(drivers()); }

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const DeviceListing& device : list_devices()) {
    if (device.obstacle.empty()) names.push_back(device.info.name);
  }
  return names;
}

}  // namespace driftwood
