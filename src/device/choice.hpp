// Which device a name means, and what "auto" takes, among kinds in an order. open.cpp has the kinds of this program.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "device/driver.hpp"

namespace driftwood {

/// open_device (device.hpp) over these kinds, of which one is the CPU's.
Result<std::unique_ptr<Device>> choose_device(std::span<const DeviceDriver> kinds, std::string_view name,
                                              const DeviceOptions& options);

/// list_devices (device.hpp) over these kinds.
std::vector<DeviceListing> list_devices_of(std::span<const DeviceDriver> kinds);

}  // namespace driftwood
