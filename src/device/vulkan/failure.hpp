// What ggml's Vulkan back end throws, as a Result. Its exceptions end here.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/error.hpp"

namespace driftwood::vulkan {

/// A code of Vulkan (VK_ERROR_DEVICE_LOST is -4, out of host or device memory -1 and -2), with what was being done.
Error error_of(const std::system_error& failure, std::string_view doing);

/// Calls `work`, which returns a Result; what it throws becomes an error.
template <typename Work>
auto guarded(std::string_view doing, Work&& work) -> decltype(work()) {
  try {
    return std::forward<Work>(work)();
  } catch (const std::system_error& failure) {
    return std::unexpected(error_of(failure, doing));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, fmt::format("There is no memory for {}.", doing));
  } catch (const std::exception& failure) {
    return fail(ErrorCode::internal, fmt::format("Vulkan failed at {}: {}.", doing, failure.what()));
  }
}

}  // namespace driftwood::vulkan
