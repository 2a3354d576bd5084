// Diagnostics for the operator of a process, on standard error.
//
// Results and guest output never go through here. Any thread may log.
#pragma once

#include <string_view>

namespace driftwood {

enum class LogLevel { debug, info, warning, error, off };

/// Messages below `level` are dropped. The default is `warning`.
void set_log_level(LogLevel level);
/// One line: "driftwood: warning: text".
void log(LogLevel level, std::string_view text);

}  // namespace driftwood
