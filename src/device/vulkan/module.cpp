#include "device/vulkan/module.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <vector>

#include "device/ggml_module.hpp"

namespace driftwood::vulkan {
namespace {

Result<ggml_backend_reg_t> load(std::span<const PhysicalDevice> devices) {
  std::vector<std::uint32_t> numbers;
  for (const PhysicalDevice& device : devices) numbers.push_back(device.number);
  setenv("GGML_VK_VISIBLE_DEVICES", fmt::format("{}", fmt::join(numbers, ",")).c_str(), 1);
  return load_ggml_module("Vulkan", "driftwood-vulkan.so", DRIFTWOOD_VULKAN_MODULE);
}

}  // namespace

Result<ggml_backend_dev_t> backend_device(std::span<const PhysicalDevice> devices, std::size_t index) {
  static const Result<ggml_backend_reg_t> registry = load(devices);
  if (!registry) return std::unexpected(registry.error());
  return device_of_module("Vulkan", *registry, index);
}

}  // namespace driftwood::vulkan
