#include "device/cuda/driver.hpp"

#include <cuda_runtime_api.h>

#include <filesystem>

#include "device/cuda/cuda_device.hpp"
#include "device/cuda/module.hpp"
#include "device/cuda/status.hpp"

namespace driftwood {
namespace {

/// Before it cuMemCreate's memory and the kernels' instructions are not there.
constexpr int kLeastMajor = 8;

Result<std::vector<DeviceListing>> list() {
  int count = 0;
  DW_TRY(cuda::check(cudaGetDeviceCount(&count), "looking for devices"));
  if (count == 0) return fail(ErrorCode::unavailable, "CUDA finds no device.");
  std::vector<DeviceListing> devices;
  for (int number = 0; number < count; ++number) {
    DW_TRY_ASSIGN(auto info, cuda::describe(number));
    int major = 0;
    DW_TRY(
        cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, number), "looking for devices"));
    DeviceListing listing{.info = std::move(info), .hardware = true, .extensions = {}, .obstacle = {}};
    if (major < kLeastMajor) listing.obstacle = "It is older than what the kernels need (compute capability 8.0).";
    devices.push_back(std::move(listing));
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
