// Turns what Wasmtime reports into Errors.
//
// Names in a report come from the guest; they are cut and made printable, so that
// they cannot write to a terminal as they like. Internal to src/wasm.
#pragma once

#include <wasmtime.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace driftwood {

/// `text` as one line of at most a few hundred printable characters.
std::string printable(std::string_view text);

/// Wasmtime's reason, as one line without a full stop.
std::string describe(const wasmtime_error_t& error);

/// guest_trap: what went wrong, then one line for each frame of the guest, innermost first. Offsets are those of the
/// module as it was given: `code_shift` is how much further on its code lies in the one that runs.
Error trap_error(const wasm_trap_t& trap, std::uint64_t code_shift);

/// The guest's frames where `error` arose, each "\n  #0 name at 0x1f"; empty when there are none.
std::string backtrace(const wasmtime_error_t& error, std::uint64_t code_shift);

}  // namespace driftwood
