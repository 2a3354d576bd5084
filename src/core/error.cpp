#include "core/error.hpp"

#include <cstdio>
#include <cstdlib>

namespace driftwood {

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
