// The user's handlers, called so that what would wait for its own thread is refused. Internal to src/embed.
#pragma once

#include <functional>
#include <utility>

#include "core/error.hpp"

namespace driftwood::v1 {

/// Whether this thread is in a handler.
bool in_handler() noexcept;
/// invalid_argument in a handler.
Result<void> refuse_in_handler(const char* call);

class HandlerScope {
 public:
  HandlerScope() noexcept;
  ~HandlerScope();
  HandlerScope(const HandlerScope&) = delete;
  HandlerScope& operator=(const HandlerScope&) = delete;
};

/// `function` as a handler; empty where it is empty.
template <typename Value, typename... Arguments>
std::function<Value(Arguments...)> handler(std::function<Value(Arguments...)> function) {
  if (!function) return {};
  return [function = std::move(function)](Arguments... arguments) noexcept -> Value {
    const HandlerScope scope;
    return function(std::forward<Arguments>(arguments)...);
  };
}

}  // namespace driftwood::v1
