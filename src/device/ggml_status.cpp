#include "device/ggml_status.hpp"

#include <fmt/format.h>

namespace driftwood {

Result<void> result_of(ggml_status status) {
  switch (status) {
    case GGML_STATUS_SUCCESS: return {};
    case GGML_STATUS_ABORTED: return fail(ErrorCode::cancelled, "The computation was cancelled.");
    case GGML_STATUS_ALLOC_FAILED:
      return fail(ErrorCode::out_of_memory, "The device has no memory for the computation.");
    case GGML_STATUS_FAILED: break;
  }
  return fail(ErrorCode::internal,
              fmt::format("The computation failed with ggml's status {}.", static_cast<int>(status)));
}

}  // namespace driftwood
