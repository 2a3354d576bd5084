// Error and Result (driftwood/error.hpp), and what the sources use beside them.
//
// Libraries return Result<T>; applications print. Library exceptions stop at the
// wrapper that calls the library. Everything here may be used from any thread.
#pragma once

#include <driftwood/error.hpp>

#include <cstdint>
#include <string>
#include <utility>

namespace driftwood {

/// Shortens `return std::unexpected(Error{...})`.
inline std::unexpected<Error> fail(ErrorCode code, std::string message) {
  return std::unexpected(Error{code, std::move(message), {}});
}

/// Process exit status for a code (0 is success, 2 is a usage error, 1 unused).
int exit_status(ErrorCode code) noexcept;
/// Error number that a guest sees: DW_E_* of sdk/c/driftwood.h, always negative.
std::int32_t guest_errno(ErrorCode code) noexcept;

namespace detail {
[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;
}  // namespace detail

}  // namespace driftwood

#define DW_CONCAT_INNER(a, b) a##b
#define DW_CONCAT(a, b) DW_CONCAT_INNER(a, b)

/// Evaluates an expression of type Result<void>; returns its error, if any.
#define DW_TRY(expr)                                        \
  do {                                                      \
    if (auto dw_result = (expr); !dw_result) {              \
      return std::unexpected(std::move(dw_result).error()); \
    }                                                       \
  } while (false)

/// `DW_TRY_ASSIGN(auto x, make_x());` declares or assigns the value, or returns the error.
#define DW_TRY_ASSIGN(target, expr) DW_TRY_ASSIGN_INNER(DW_CONCAT(dw_result_, __LINE__), target, expr)
#define DW_TRY_ASSIGN_INNER(result, target, expr)      \
  auto result = (expr);                                \
  if (!result) {                                       \
    return std::unexpected(std::move(result).error()); \
  }                                                    \
  target = *std::move(result)

/// Guards our own logic, in release builds too. Never for guest input, files or messages.
#define DW_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::driftwood::detail::check_failed(#condition, __FILE__, __LINE__))
