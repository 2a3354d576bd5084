#include "device/metal/driver.hpp"

#include "device/ggml_module.hpp"
#include "device/metal/metal_device.hpp"

namespace driftwood {
namespace {

Result<ggml_backend_dev_t> backend() {
  static const auto registry = load_ggml_module("Metal", "@rpath/driftwood-metal.so", DRIFTWOOD_METAL_MODULE);
  if (!registry) return std::unexpected(registry.error());
  return device_of_module("Metal", *registry, 0);
}

Result<std::vector<DeviceListing>> list() {
  DW_TRY_ASSIGN(ggml_backend_dev_t const device, backend());
  std::vector<DeviceListing> devices;
  devices.push_back({.info = metal::describe(device), .hardware = true, .extensions = {}, .obstacle = {}});
  return devices;
}

Result<std::unique_ptr<Device>> open(std::uint32_t, const DeviceOptions&) {
  DW_TRY_ASSIGN(ggml_backend_dev_t const device, backend());
  return metal::create_device(device);
}

}  // namespace

DeviceDriver metal_driver() {
  return {.name = "metal",
          .numbered = false,
          .likely = [] { return true; },
          .list = list,
          .open = open,
          .note = kMetalUntried};
}

}  // namespace driftwood
