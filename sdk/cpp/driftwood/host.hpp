// What the host says about itself, and its errors as values.
//
// One thread: a guest has no other.
#pragma once

#include <cstdint>
#include <string_view>

#include "driftwood.h"
#include "driftwood/result.hpp"

namespace driftwood::guest {

/// The error of the call that just failed with `code`, with the host's sentence.
Error host_error(std::int32_t code);

/// A call's result: its value where it is 0 or positive, else its error.
Result<std::int32_t> check(std::int32_t result);

/// Page size, device, addresses, bytes copied so far: see dw_info.
Result<dw_info> host_info();

/// "same_memory", "mapped_over_bus" or "copied", for DW_SHARING_*.
std::string_view sharing_name(std::uint32_t sharing) noexcept;

/// A line in the host's log; `level` is DW_LOG_*.
void log(std::uint32_t level, std::string_view text);

/// Prints the error's sentence on standard error; returns the exit status of a command that failed.
int report(const Error& error);

}  // namespace driftwood::guest
