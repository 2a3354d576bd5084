// Metal: the GPU of an Apple machine, which shares the host's memory, through ggml's kernels for it.
#pragma once

#include "device/driver.hpp"

namespace driftwood {

DeviceDriver metal_driver();

}  // namespace driftwood
