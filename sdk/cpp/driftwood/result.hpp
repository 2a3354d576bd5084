// Errors in a guest: a value, never an exception.
//
// Makes no call to the host: headers that only need these stay testable on any machine.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace driftwood::guest {

/// What went wrong: a DW_E_* code of driftwood.h and a full sentence.
struct Error {
  std::int32_t code = 0;
  std::string message;
};

template <typename T>
using Result = std::expected<T, Error>;

/// Shortens `return std::unexpected(Error{...})`.
inline std::unexpected<Error> fail(std::int32_t code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

}  // namespace driftwood::guest

#define DW_CONCAT_INNER(a, b) a##b
#define DW_CONCAT(a, b) DW_CONCAT_INNER(a, b)

/// Evaluates an expression of type Result<...>; returns its error, if any.
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
