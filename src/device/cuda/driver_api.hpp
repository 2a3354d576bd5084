// The calls of CUDA's driver (libcuda) that the runtime library has no like of.
//
// They are asked for when they are first used: the program does not link the driver's
// library, and starts where there is none.
#pragma once

#include <cuda.h>

#include "core/error.hpp"

namespace driftwood::cuda {

struct DriverApi {
  decltype(&::cuGetErrorString) get_error_string = nullptr;
  decltype(&::cuDeviceGetAttribute) device_get_attribute = nullptr;
  decltype(&::cuMemGetAllocationGranularity) mem_get_allocation_granularity = nullptr;
  decltype(&::cuMemAddressReserve) mem_address_reserve = nullptr;
  decltype(&::cuMemAddressFree) mem_address_free = nullptr;
  decltype(&::cuMemCreate) mem_create = nullptr;
  decltype(&::cuMemRelease) mem_release = nullptr;
  decltype(&::cuMemMap) mem_map = nullptr;
  decltype(&::cuMemUnmap) mem_unmap = nullptr;
  decltype(&::cuMemSetAccess) mem_set_access = nullptr;
};

/// Any thread. unavailable: there is no driver; unsupported: it lacks one of the calls.
const Result<DriverApi>& driver_api();

}  // namespace driftwood::cuda
