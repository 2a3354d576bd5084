// Lines that guests log, passed on to the operator's log. Any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace driftwood::cli {

/// For GuestHostOptions::log: `level` is a DW_LOG_*; the text is made safe to print.
void log_guest_line(std::uint32_t level, std::string_view text);

}  // namespace driftwood::cli
