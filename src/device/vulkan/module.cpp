#include "device/vulkan/module.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <ggml.h>

#include <cstdlib>
#include <string_view>
#include <vector>

#include "core/log.hpp"

namespace driftwood::vulkan {
namespace {

/// Where it lies in an installed tree: beside what else the program's or library's run path names.
constexpr const char* kInstalled = "driftwood-vulkan.so";

void on_message(ggml_log_level level, const char* text, void*) {
  std::string_view message(text);
  while (message.ends_with('\n')) message.remove_suffix(1);
  if (!message.empty()) log(level >= GGML_LOG_LEVEL_WARN ? LogLevel::info : LogLevel::debug, message);
}

void* open_module() {
  void* const installed = dlopen(kInstalled, RTLD_NOW | RTLD_LOCAL);
  return installed != nullptr ? installed : dlopen(DRIFTWOOD_VULKAN_MODULE, RTLD_NOW | RTLD_LOCAL);
}

/// The module has a ggml-base of its own, whose symbols are found through it.
Result<void> check_version(void* module) {
  const auto version = reinterpret_cast<decltype(&ggml_version)>(dlsym(module, "ggml_version"));
  if (version != nullptr && std::string_view(version()) == ggml_version()) return {};
  return fail(ErrorCode::incompatible,
              fmt::format("The Vulkan module is of ggml {}, and this program is of {}.",
                          version == nullptr ? "an unknown version" : version(), ggml_version()));
}

Result<ggml_backend_reg_t> load(std::span<const PhysicalDevice> devices) {
  std::vector<std::uint32_t> numbers;
  for (const PhysicalDevice& device : devices) numbers.push_back(device.number);
  setenv("GGML_VK_VISIBLE_DEVICES", fmt::format("{}", fmt::join(numbers, ",")).c_str(), 1);

  void* const module = open_module();
  if (module == nullptr) {
    const char* const why = dlerror();
    return fail(ErrorCode::unavailable,
                fmt::format("The Vulkan module cannot be loaded: {}.", why == nullptr ? "no reason was given" : why));
  }
  DW_TRY(check_version(module));
  if (const auto set_log = reinterpret_cast<decltype(&ggml_log_set)>(dlsym(module, "ggml_log_set"))) {
    set_log(on_message, nullptr);
  }
  const auto init = reinterpret_cast<ggml_backend_reg_t (*)()>(dlsym(module, "ggml_backend_init"));
  ggml_backend_reg_t const registry = init == nullptr ? nullptr : init();
  if (registry == nullptr) return fail(ErrorCode::unavailable, "The Vulkan module found no driver that it can use.");
  return registry;
}

}  // namespace

Result<ggml_backend_dev_t> backend_device(std::span<const PhysicalDevice> devices, std::size_t index) {
  static const Result<ggml_backend_reg_t> registry = load(devices);
  if (!registry) return std::unexpected(registry.error());
  const std::size_t count = ggml_backend_reg_dev_count(*registry);
  if (index >= count) {
    return fail(ErrorCode::unavailable,
                fmt::format("The Vulkan module uses {} of the {} devices, and not this one.", count, devices.size()));
  }
  return ggml_backend_reg_dev_get(*registry, index);
}

}  // namespace driftwood::vulkan
