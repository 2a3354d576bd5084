#include "guest_log.hpp"

#include "console.hpp"
#include "core/log.hpp"

#define DW_HOST
#include "driftwood.h"

namespace driftwood::cli {

void log_guest_line(std::uint32_t level, std::string_view text) {
  const std::string line = "guest: " + printable(text);
  switch (level) {
    case DW_LOG_DEBUG: return log(LogLevel::debug, line);
    case DW_LOG_INFO: return log(LogLevel::info, line);
    case DW_LOG_WARNING: return log(LogLevel::warning, line);
    default: return log(LogLevel::error, line);
  }
}

}  // namespace driftwood::cli
