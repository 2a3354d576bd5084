// A function that the host gives to guests.
//
// Called straight from compiled code with the raw argument slots, so a cheap one
// costs about as much as an indirect call. It gets the Instance's host data as
// `host` and must not throw. Lifetime: registered with static storage duration.
#pragma once

#include <wasmtime.h>

#include <span>
#include <string_view>

namespace driftwood {

struct HostFunction {
  /// `slots` holds the arguments on entry and the result in slots[0] on return.
  using Callback = void (*)(void* host, wasmtime_val_raw_t* slots);

  std::string_view module;
  std::string_view name;
  std::string_view parameters;  ///< one letter each: i (i32), I (i64), f (f32), F (f64)
  std::string_view results;     ///< likewise, at most one
  Callback callback = nullptr;
};

}  // namespace driftwood
