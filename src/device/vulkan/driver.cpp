#include "device/vulkan/driver.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "device/vulkan/failure.hpp"
#include "device/vulkan/module.hpp"
#include "device/vulkan/probe.hpp"
#include "device/vulkan/vulkan_device.hpp"
#include "memory/region.hpp"

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

/// Imports what the memory of actors is, pages of a memory file, and lets go of it: some drivers take other memory
/// only.
Result<void> try_import(Device& device) {
  const std::size_t size = std::max(page_size(), device.info().capabilities.import_alignment);
  DW_TRY_ASSIGN(const auto region, Region::create({.reserve = size, .commit = size}));
  const auto import = device.import(*region, {0, size}, Require::no_copy);
  if (import) return {};
  if (import.error().code != ErrorCode::unsupported) return std::unexpected(import.error());
  return fail(
      ErrorCode::unsupported,
      fmt::format("{} Actors' memory lies in memory files, which the driver does not take.", import.error().message));
}

Result<std::unique_ptr<Device>> open(std::uint32_t number, const DeviceOptions&) {
  const auto& found = vulkan::physical_devices();
  if (!found) return std::unexpected(found.error());
  DW_TRY_ASSIGN(const ggml_backend_dev_t backend,
                vulkan::guarded("loading the driver", [&] { return vulkan::backend_device(*found, number); }));
  DW_TRY_ASSIGN(auto device, vulkan::create_device((*found)[number], number, backend));
  DW_TRY(try_import(*device));
  return device;
}

}  // namespace

DeviceDriver vulkan_driver() {
  return {.name = "vulkan", .numbered = true, .likely = vulkan::gpu_likely, .list = list, .open = open};
}

}  // namespace driftwood
