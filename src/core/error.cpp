#include "core/error.hpp"

#include <cstdio>
#include <cstdlib>

namespace driftwood {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::unsupported: return "unsupported";
    case ErrorCode::out_of_memory: return "out_of_memory";
    case ErrorCode::device_lost: return "device_lost";
    case ErrorCode::corrupt: return "corrupt";
    case ErrorCode::incompatible: return "incompatible";
    case ErrorCode::guest_trap: return "guest_trap";
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::internal: return "internal";
  }
  return "internal";
}

std::string Error::to_string() const {
  std::string text = message;
  for (const std::string& what : context) {
    text += " (" + what + ")";
  }
  return text;
}

Error Error::with_context(std::string what) && {
  context.push_back(std::move(what));
  return std::move(*this);
}

int exit_status(ErrorCode code) noexcept {
  // 2 is left to usage errors, as getopt programs have it.
  return 10 + static_cast<int>(code);
}

std::int32_t guest_errno(ErrorCode code) noexcept { return -1 - static_cast<std::int32_t>(code); }

namespace detail {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "driftwood: internal check failed: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace detail
}  // namespace driftwood
