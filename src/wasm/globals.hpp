// Reads and sets the mutable globals of an instance, bit for bit. Internal to src/wasm.
#pragma once

#include <wasmtime.h>

#include <span>
#include <vector>

#include "core/error.hpp"
#include "core/wasm_value.hpp"
#include "wasm/module/module_facts.hpp"

namespace driftwood {

/// The mutable globals of one instance, looked up by name once.
class Globals {
 public:
  /// Those of `instance`, whose module has `globals`, which are borrowed. Their order is that of all values.
  Globals(wasmtime_context_t* context, const wasmtime_instance_t& instance, std::span<const MutableGlobal> globals);

  std::vector<WasmValue> read() const;
  /// incompatible, and no global is changed: `values` are not of the globals' number and types.
  Result<void> write(std::span<const WasmValue> values) const;

 private:
  wasmtime_context_t* const context_;
  const std::span<const MutableGlobal> globals_;
  std::vector<wasmtime_global_t> handles_;  ///< alike
};

}  // namespace driftwood
