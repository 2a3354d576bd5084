#include <fmt/format.h>

#include <algorithm>

#include "hostcalls/call.hpp"

namespace driftwood {
namespace {

// A guest's text may end up on a terminal, which control characters could steer.
bool steers_terminal(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\n') || byte == 0x7f;
}

Result<std::int32_t> log(GuestHost::State& state, Arguments arguments) {
  const std::uint32_t level = arguments.u32(0);
  DW_TRY_ASSIGN(const std::string_view text,
                state.memory().text({"dw_log", "text"}, arguments.u32(1), arguments.u32(2), DW_MAX_LOG));
  if (level > DW_LOG_ERROR) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The argument \"level\" of dw_log ({}) is not one of 0 to {}.", level, DW_LOG_ERROR));
  }
  if (state.options.log) {
    std::string line(text);
    std::replace_if(line.begin(), line.end(), steers_terminal, '?');
    state.options.log(level, line);
  }
  return DW_OK;
}

constexpr HostFunction kFunctions[] = {guest_function<log>("log", "iii")};

}  // namespace

std::span<const HostFunction> log_functions() { return kFunctions; }

}  // namespace driftwood
