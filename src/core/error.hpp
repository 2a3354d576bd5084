// The one error type of Driftwood and the one way to pass it on.
//
// Libraries return Result<T>; applications print. An Error's message is a full
// sentence that names the value given and the value allowed; `context` says what
// was being done, outermost last. Library exceptions stop at the wrapper that
// calls the library. Everything here may be used from any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace driftwood {

/// What the caller can do next, not where the error arose.
enum class ErrorCode : std::uint8_t {
  invalid_argument,  ///< the request is wrong as given: change it
  not_found,         ///< a named thing does not exist (or was not granted)
  unsupported,       ///< well formed, but this build or device cannot do it
  out_of_memory,     ///< host, device or budget: free something, ask for less
  device_lost,       ///< the device is gone: reopen it or use another one
  corrupt,           ///< data failed a check: get a good copy
  incompatible,      ///< data is sound but of another version, model or program
  guest_trap,        ///< the guest ended itself: trap, exhausted budget
  unavailable,       ///< not now: busy, offline, full; trying again may help
  cancelled,         ///< the caller asked for it to stop
  internal,          ///< a defect of Driftwood
};

/// The stable spelling of a code, as in JSON reports ("invalid_argument").
std::string_view to_string(ErrorCode code) noexcept;

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;               ///< a full sentence
  std::vector<std::string> context;  ///< "while ...", innermost first

  /// The message followed by its context, as one line for people.
  std::string to_string() const;
  /// Adds one level of context and returns the error, for use in a return.
  Error with_context(std::string what) &&;
};

template <typename T>
using Result = std::expected<T, Error>;

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
