// CUDA: NVIDIA's GPUs, through ggml's kernels for them and kernels of our own.
#pragma once

#include "device/driver.hpp"

namespace driftwood {

DeviceDriver cuda_driver();

}  // namespace driftwood
