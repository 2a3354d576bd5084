// ggml's CUDA back end, a module that is loaded when a CUDA device is first opened.
#pragma once

#include <ggml-backend.h>

#include "core/error.hpp"

namespace driftwood::cuda {

/// ggml's device of that number. Any thread. unavailable: the module or what it needs is not installed, or it does not
/// use the device; incompatible: it is of another version of ggml.
Result<ggml_backend_dev_t> backend_device(int number);

}  // namespace driftwood::cuda
