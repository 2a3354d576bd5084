// How a C++ function becomes a host call: raw slots in, an error number and its
// remembered sentence out. Nothing thrown gets past here.
#pragma once

#include <cstdint>
#include <exception>
#include <new>
#include <span>

#include "core/error.hpp"
#include "hostcalls/guest_state.hpp"
#include "wasm/host_function.hpp"

namespace driftwood {

/// The arguments of one call.
class Arguments {
 public:
  explicit Arguments(const wasmtime_val_raw_t* slots) : slots_(slots) {}
  /// The i-th argument as an offset, a length or a flag word.
  std::uint32_t u32(std::size_t i) const noexcept { return static_cast<std::uint32_t>(slots_[i].i32); }
  std::int32_t i32(std::size_t i) const noexcept { return slots_[i].i32; }
  std::uint64_t u64(std::size_t i) const noexcept { return static_cast<std::uint64_t>(slots_[i].i64); }

 private:
  const wasmtime_val_raw_t* slots_;
};

/// What a host call is written as: its value, or an error that becomes DW_E_* and last_error.
using GuestCall = Result<std::int32_t> (*)(GuestHost::State& state, Arguments arguments);

template <GuestCall Call>
void guest_entry(void* host, wasmtime_val_raw_t* slots) noexcept {
  GuestHost::State& state = static_cast<GuestHost*>(host)->state();
  std::int32_t value = 0;
  try {
    Result<std::int32_t> result = Call(state, Arguments(slots));
    value = result ? *result : state.remember(std::move(result).error());
  } catch (const std::bad_alloc&) {
    value = state.remember_out_of_memory();
  } catch (const std::exception& exception) {
    value = state.remember({ErrorCode::internal, std::string("A host call failed: ") + exception.what() + ".", {}});
  }
  slots[0].i32 = value;
}

/// A host call that takes `parameters` (see HostFunction) and gives an i32.
template <GuestCall Call>
constexpr HostFunction guest_function(std::string_view name, std::string_view parameters) {
  return {"driftwood", name, parameters, "i", &guest_entry<Call>};
}

/// One group of imports each; their storage is static.
std::span<const HostFunction> info_functions();
std::span<const HostFunction> log_functions();
std::span<const HostFunction> tensor_functions();
std::span<const HostFunction> model_functions();
std::span<const HostFunction> llm_functions();
std::span<const HostFunction> actor_functions();

}  // namespace driftwood
