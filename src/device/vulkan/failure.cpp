#include "device/vulkan/failure.hpp"

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

namespace driftwood::vulkan {

Error error_of(const std::system_error& failure, std::string_view doing) {
  switch (failure.code().value()) {
    case VK_ERROR_DEVICE_LOST:
      return {ErrorCode::device_lost, fmt::format("The Vulkan device was lost at {}.", doing), {}};
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
      return {ErrorCode::out_of_memory, fmt::format("The Vulkan device has no memory for {}.", doing), {}};
    case VK_ERROR_OUT_OF_HOST_MEMORY:
      return {ErrorCode::out_of_memory, fmt::format("The Vulkan driver has no memory for {}.", doing), {}};
    default: return {ErrorCode::internal, fmt::format("Vulkan failed at {}: {}.", doing, failure.what()), {}};
  }
}

}  // namespace driftwood::vulkan
