// What the CUDA runtime and driver say, as a Result.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <string_view>

#include "core/error.hpp"

namespace driftwood::cuda {

/// out_of_memory: the card is full; device_lost: a kernel or the card failed, and nothing works there any more;
/// unsupported, unavailable: as the call says; internal: any other. `doing`: "copying to the device".
Result<void> check(cudaError_t status, std::string_view doing);
Result<void> check(CUresult status, std::string_view doing);

}  // namespace driftwood::cuda
