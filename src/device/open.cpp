#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "device/cpu/cpu_device.hpp"
#include "device/device.hpp"
#include "device/null/null_device.hpp"

namespace driftwood {
namespace {

struct Entry {
  std::string_view name;
  Result<std::unique_ptr<Device>> (*open)(const DeviceOptions& options);
};

/// Best first: "auto" is the first one.
constexpr std::array<Entry, 2> kDevices = {{
    {"cpu", create_cpu_device},
    {"null", [](const DeviceOptions&) { return create_null_device(std::make_shared<NullDeviceControl>()); }},
}};

}  // namespace

Result<std::unique_ptr<Device>> open_device(std::string_view name, const DeviceOptions& options) {
  if (name == "auto") return kDevices.front().open(options);
  for (const Entry& device : kDevices) {
    if (device.name == name) return device.open(options);
  }
  return fail(ErrorCode::not_found,
              fmt::format("There is no device '{}' here; there are auto, {}.", name, fmt::join(device_names(), ", ")));
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const Entry& device : kDevices) names.emplace_back(device.name);
  return names;
}

}  // namespace driftwood
