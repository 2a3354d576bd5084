// What ggml says of a computation, as a Result.
#pragma once

#include <ggml.h>

#include "core/error.hpp"

namespace driftwood {

/// GGML_STATUS_ABORTED is cancelled, ALLOC_FAILED out_of_memory, any other failure internal.
Result<void> result_of(ggml_status status);

}  // namespace driftwood
