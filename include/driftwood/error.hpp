// The one error type of Driftwood and the one way to pass it on.
//
// Whatever can fail returns Result<T>. An Error's message is a full sentence that names
// the value given and the value allowed; `context` says what was being done, outermost
// last. Nothing of Driftwood throws but what the standard library does when memory runs
// out. Values; any thread.
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
constexpr std::string_view to_string(ErrorCode code) noexcept {
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

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;               ///< a full sentence
  std::vector<std::string> context;  ///< "while ...", innermost first

  /// The message followed by its context, as one line for people.
  std::string to_string() const {
    std::string text = message;
    for (const std::string& what : context) text += " (" + what + ")";
    return text;
  }
  /// Adds one level of context and returns the error, for use in a return.
  Error with_context(std::string what) && {
    context.push_back(std::move(what));
    return std::move(*this);
  }
};

template <typename T>
using Result = std::expected<T, Error>;

}  // namespace driftwood
