#include "device/cuda/driver_api.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "device/cuda/status.hpp"

namespace driftwood::cuda {
namespace {

/// The version of the driver's interface that the calls are asked for in: that of the oldest toolkit that builds this.
constexpr unsigned kVersion = 12080;

template <typename Function>
Result<void> find(const char* name, Function& function) {
  void* found = nullptr;
  auto answer = cudaDriverEntryPointSymbolNotFound;
  DW_TRY(check(cudaGetDriverEntryPointByVersion(name, &found, kVersion, cudaEnableDefault, &answer),
               "looking for the driver's calls"));
  function = reinterpret_cast<Function>(found);
  if (answer == cudaDriverEntryPointSuccess && function != nullptr) return {};
  return fail(ErrorCode::unsupported, fmt::format("The CUDA driver is too old: it has no {}.", name));
}

Result<DriverApi> find_all() {
  DriverApi api;
  DW_TRY(find("cuGetErrorString", api.get_error_string));
  DW_TRY(find("cuDeviceGetAttribute", api.device_get_attribute));
  DW_TRY(find("cuMemGetAllocationGranularity", api.mem_get_allocation_granularity));
  DW_TRY(find("cuMemAddressReserve", api.mem_address_reserve));
  DW_TRY(find("cuMemAddressFree", api.mem_address_free));
  DW_TRY(find("cuMemCreate", api.mem_create));
  DW_TRY(find("cuMemRelease", api.mem_release));
  DW_TRY(find("cuMemMap", api.mem_map));
  DW_TRY(find("cuMemUnmap", api.mem_unmap));
  DW_TRY(find("cuMemSetAccess", api.mem_set_access));
  return api;
}

}  // namespace

const Result<DriverApi>& driver_api() {
  static const Result<DriverApi> api = find_all();
  return api;
}

}  // namespace driftwood::cuda
