// Reads and sets the mutable globals of an instance, bit for bit. Internal to src/wasm.
#pragma once

#include <wasmtime.h>

#include <span>
#include <vector>

#include "core/error.hpp"
#include "core/wasm_value.hpp"
#include "wasm/module/module_facts.hpp"

namespace driftwood {

/// The values in the order of `globals`, which are those of the instance's module.
std::vector<WasmValue> read_globals(wasmtime_context_t* context, const wasmtime_instance_t& instance,
                                    std::span<const MutableGlobal> globals);

/// incompatible, and no global is changed: `values` are not of the globals' number and types.
Result<void> write_globals(wasmtime_context_t* context, const wasmtime_instance_t& instance,
                           std::span<const MutableGlobal> globals, std::span<const WasmValue> values);

}  // namespace driftwood
