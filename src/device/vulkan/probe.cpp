#include "device/vulkan/probe.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <sstream>
#include <string_view>

namespace driftwood::vulkan {
namespace {

constexpr const char* kLoader = "libvulkan.so.1";
constexpr const char* kImportExtension = VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
/// What ggml or an import asks for, or would be faster with.
constexpr std::array<std::string_view, 8> kExtensions = {
    "VK_EXT_external_memory_host",  "VK_EXT_memory_budget",
    "VK_EXT_subgroup_size_control", "VK_KHR_16bit_storage",
    "VK_KHR_cooperative_matrix",    "VK_KHR_shader_float16_int8",
    "VK_KHR_shader_bfloat16",       "VK_KHR_shader_integer_dot_product"};

/// The functions that are used, found through the loader.
struct Functions {
  PFN_vkGetInstanceProcAddr get = nullptr;
  VkInstance instance = nullptr;

  template <typename Function>
  Function find(const char* name) const {
    return reinterpret_cast<Function>(get(instance, name));
  }
};

class Instance {
 public:
  static Result<Instance> create() {
    // It stays loaded: drivers do not survive being unloaded.
    void* const loader = dlopen(kLoader, RTLD_NOW | RTLD_LOCAL);
    if (loader == nullptr) {
      return fail(ErrorCode::unavailable, fmt::format("The Vulkan loader ({}) is not installed.", kLoader));
    }
    Instance made;
    made.functions_.get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(loader, "vkGetInstanceProcAddr"));
    if (made.functions_.get == nullptr) {
      return fail(ErrorCode::unavailable, fmt::format("The Vulkan loader ({}) is not one.", kLoader));
    }
    VkApplicationInfo application{};
    application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
    application.apiVersion = VK_API_VERSION_1_2;
    VkInstanceCreateInfo wanted{};
    wanted.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
    wanted.pApplicationInfo = &application;
    const auto create_instance = made.functions_.find<PFN_vkCreateInstance>("vkCreateInstance");
    if (const VkResult result = create_instance(&wanted, nullptr, &made.functions_.instance); result != VK_SUCCESS) {
      made.functions_.instance = nullptr;
      return fail(ErrorCode::unavailable,
                  result == VK_ERROR_INCOMPATIBLE_DRIVER
                      ? std::string("No Vulkan driver is installed.")
                      : fmt::format("Vulkan cannot be set up (its error {}).", static_cast<int>(result)));
    }
    return made;
  }
  Instance(Instance&& other) noexcept : functions_(std::exchange(other.functions_, {})) {}
  Instance& operator=(Instance&&) = delete;
  ~Instance() {
    if (functions_.instance == nullptr) return;
    functions_.find<PFN_vkDestroyInstance>("vkDestroyInstance")(functions_.instance, nullptr);
  }

  const Functions* operator->() const noexcept { return &functions_; }
  VkInstance get() const noexcept { return functions_.instance; }

 private:
  Instance() = default;
  Functions functions_;
};

std::vector<std::string> extensions_of(const Instance& instance, VkPhysicalDevice device) {
  const auto list = instance->find<PFN_vkEnumerateDeviceExtensionProperties>("vkEnumerateDeviceExtensionProperties");
  std::uint32_t count = 0;
  list(device, nullptr, &count, nullptr);
  std::vector<VkExtensionProperties> all(count);
  list(device, nullptr, &count, all.data());
  std::vector<std::string> names;
  for (const VkExtensionProperties& extension : all) {
    if (std::ranges::find(kExtensions, extension.extensionName) != kExtensions.end()) {
      names.emplace_back(extension.extensionName);
    }
  }
  std::ranges::sort(names);
  return names;
}

std::uint64_t memory_of(const Instance& instance, VkPhysicalDevice device) {
  VkPhysicalDeviceMemoryProperties memory{};
  instance->find<PFN_vkGetPhysicalDeviceMemoryProperties>("vkGetPhysicalDeviceMemoryProperties")(device, &memory);
  std::uint64_t most = 0;
  for (std::uint32_t i = 0; i < memory.memoryHeapCount; ++i) {
    const VkMemoryHeap& heap = memory.memoryHeaps[i];
    if ((heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0) most = std::max<std::uint64_t>(most, heap.size);
  }
  return most;
}

bool has_16bit_storage(const Instance& instance, VkPhysicalDevice device) {
  VkPhysicalDevice16BitStorageFeatures storage{};
  storage.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES;
  VkPhysicalDeviceFeatures2 features{};
  features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  features.pNext = &storage;
  instance->find<PFN_vkGetPhysicalDeviceFeatures2>("vkGetPhysicalDeviceFeatures2")(device, &features);
  return storage.storageBuffer16BitAccess == VK_TRUE;
}

std::string obstacle_of(const VkPhysicalDeviceProperties& properties, const PhysicalDevice& device, bool has_16bit) {
  if (properties.apiVersion < VK_API_VERSION_1_2) {
    return fmt::format("Its driver knows Vulkan {}.{}, and 1.2 is needed.", VK_API_VERSION_MAJOR(properties.apiVersion),
                       VK_API_VERSION_MINOR(properties.apiVersion));
  }
  if (!has_16bit) return "Its driver has no 16-bit storage, which the kernels need.";
  if (std::ranges::find(device.extensions, kImportExtension) == device.extensions.end()) {
    return fmt::format("Its driver cannot import the host's memory ({}).", kImportExtension);
  }
  return {};
}

PhysicalDevice describe(const Instance& instance, VkPhysicalDevice handle, std::uint32_t number) {
  VkPhysicalDeviceExternalMemoryHostPropertiesEXT import{};
  import.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT;
  VkPhysicalDeviceMaintenance3Properties limits{};
  limits.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES;
  limits.pNext = &import;
  VkPhysicalDeviceDriverProperties driver{};
  driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
  driver.pNext = &limits;
  VkPhysicalDeviceProperties2 all{};
  all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  all.pNext = &driver;
  instance->find<PFN_vkGetPhysicalDeviceProperties2>("vkGetPhysicalDeviceProperties2")(handle, &all);
  const VkPhysicalDeviceProperties& properties = all.properties;

  PhysicalDevice device;
  device.number = number;
  device.name = properties.deviceName;
  device.driver = fmt::format("{} {}", driver.driverName, driver.driverInfo);
  device.touches_unused_bindings = driver.driverID == VK_DRIVER_ID_MESA_LLVMPIPE;
  device.hardware = properties.deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU;
  device.own_memory = properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU ||
                      properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU;
  device.memory_total = memory_of(instance, handle);
  device.extensions = extensions_of(instance, handle);
  device.import_alignment = import.minImportedHostPointerAlignment;
  device.tensor_alignment = properties.limits.minStorageBufferOffsetAlignment;
  device.max_operand = properties.limits.maxStorageBufferRange;
  device.max_buffer = limits.maxMemoryAllocationSize;
  device.obstacle = obstacle_of(properties, device, has_16bit_storage(instance, handle));
  return device;
}

/// The numbers that ggml shall see, where the user has chosen: its own variable, as it reads it.
std::vector<std::uint32_t> chosen_numbers(std::uint32_t count) {
  std::vector<std::uint32_t> numbers;
  if (const char* chosen = std::getenv("GGML_VK_VISIBLE_DEVICES"); chosen != nullptr) {
    std::string text(chosen);
    std::ranges::replace(text, ',', ' ');
    std::istringstream words(text);
    for (std::uint32_t number = 0; words >> number;) {
      if (number < count) numbers.push_back(number);
    }
    return numbers;
  }
  for (std::uint32_t number = 0; number < count; ++number) numbers.push_back(number);
  return numbers;
}

Result<std::vector<PhysicalDevice>> find_all() {
  DW_TRY_ASSIGN(const Instance instance, Instance::create());
  const auto list = instance->find<PFN_vkEnumeratePhysicalDevices>("vkEnumeratePhysicalDevices");
  std::uint32_t count = 0;
  list(instance.get(), &count, nullptr);
  std::vector<VkPhysicalDevice> handles(count);
  list(instance.get(), &count, handles.data());
  std::vector<PhysicalDevice> devices;
  for (const std::uint32_t number : chosen_numbers(count))
    devices.push_back(describe(instance, handles[number], number));
  if (devices.empty()) return fail(ErrorCode::unavailable, "Vulkan finds no device.");
  std::ranges::stable_sort(devices, {}, [](const PhysicalDevice& device) {
    return (device.obstacle.empty() ? 0 : 4) + (device.hardware ? 0 : 2) + (device.own_memory ? 0 : 1);
  });
  return devices;
}

}  // namespace

bool gpu_likely() {
  std::error_code ignored;
  for (const char* file : {"/dev/nvidiactl", "/dev/dxg"}) {
    if (std::filesystem::exists(file, ignored)) return true;
  }
  for (const auto& entry : std::filesystem::directory_iterator("/dev/dri", ignored)) {
    if (entry.path().filename().string().starts_with("renderD")) return true;
  }
  return false;
}

const Result<std::vector<PhysicalDevice>>& physical_devices() {
  static const Result<std::vector<PhysicalDevice>> found = find_all();
  return found;
}

}  // namespace driftwood::vulkan
