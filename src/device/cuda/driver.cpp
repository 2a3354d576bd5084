#include "device/cuda/driver.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <utility>

#include "device/cuda/cuda_device.hpp"
#include "device/cuda/driver_api.hpp"
#include "device/cuda/module.hpp"
#include "device/cuda/status.hpp"

namespace driftwood {
namespace {

/// Before it cuMemCreate's memory and the kernels' instructions are not there.
constexpr int kLeastMajor = 8;

/// What it can do of that which decides how memory is shared with it, as CUDA names its attributes.
std::vector<std::string> abilities_of(int number) {
  constexpr std::array<std::pair<cudaDeviceAttr, const char*>, 6> kAbilities = {{
      {cudaDevAttrCanUseHostPointerForRegisteredMem, "can_use_host_pointer_for_registered_mem"},
      {cudaDevAttrHostNativeAtomicSupported, "host_native_atomic"},
      {cudaDevAttrHostRegisterReadOnlySupported, "host_register_read_only"},
      {cudaDevAttrHostRegisterSupported, "host_register"},
      {cudaDevAttrIntegrated, "integrated"},
      {cudaDevAttrPageableMemoryAccess, "pageable_memory_access"},
  }};
  std::vector<std::string> found;
  for (const auto& [attribute, name] : kAbilities) {
    int has = 0;
    if (cudaDeviceGetAttribute(&has, attribute, number) == cudaSuccess && has != 0) found.emplace_back(name);
  }
  int maps = 0;
  const auto& driver = cuda::driver_api();
  if (driver &&
      driver->device_get_attribute(&maps, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, number) ==
          CUDA_SUCCESS &&
      maps != 0) {
    found.emplace_back("virtual_memory_management");
  }
  return found;
}

Result<DeviceListing> describe(int number) {
  DW_TRY_ASSIGN(auto info, cuda::describe(number));
  int major = 0;
  DW_TRY(cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, number), "looking for devices"));
  DeviceListing listing{.info = std::move(info), .hardware = true, .extensions = abilities_of(number), .obstacle = {}};
  if (major < kLeastMajor) listing.obstacle = "It is older than what the kernels need (compute capability 8.0).";
  return listing;
}

Result<std::vector<DeviceListing>> list() {
  int count = 0;
  DW_TRY(cuda::check(cudaGetDeviceCount(&count), "looking for devices"));
  if (count == 0) return fail(ErrorCode::unavailable, "CUDA finds no device.");
  std::vector<DeviceListing> devices;
  for (int number = 0; number < count; ++number) {
    auto described = describe(number);
    if (described) {
      devices.push_back(*std::move(described));
    } else {
      // The others are there all the same.
      DeviceListing silent;
      silent.info.name = fmt::format("cuda:{}", number);
      silent.info.description = "a card that does not answer";
      silent.hardware = true;
      silent.obstacle = described.error().message;
      devices.push_back(std::move(silent));
    }
  }
  return devices;
}

Result<std::unique_ptr<Device>> open(std::uint32_t number, const DeviceOptions& options) {
  const auto index = static_cast<int>(number);
  DW_TRY_ASSIGN(auto info, cuda::describe(index));
  DW_TRY_ASSIGN(ggml_backend_dev_t backend, cuda::backend_device(index));
  return cuda::create_device(index, std::move(info), backend, options);
}

}  // namespace

DeviceDriver cuda_driver() {
  return {.name = "cuda",
          .numbered = true,
          .likely = [] { return std::filesystem::exists("/dev/nvidiactl"); },
          .list = list,
          .open = open};
}

}  // namespace driftwood
