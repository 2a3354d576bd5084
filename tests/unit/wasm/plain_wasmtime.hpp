// A guest in Wasmtime's C API alone, as the reference for what Driftwood makes of one: the module as it is, Wasmtime's
// own memory, its own WASI.
#pragma once

#include <wasmtime.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "wasm/handles.hpp"
#include "wasm/host_function.hpp"

namespace driftwood {

class PlainWasmtime {
 public:
  /// Instantiates `module` with WASI, its arguments, and `functions` in place of WASI's of the same name. Sets
  /// failed().
  PlainWasmtime(std::span<const std::byte> module, std::span<const HostFunction> functions, void* host,
                const std::vector<const char*>& arguments);

  /// Why the module could not be instantiated; empty when it was.
  const std::string& failure() const { return failure_; }
  bool has_export(const std::string& name);
  /// The i32 that it returned, or 0; nothing when it trapped, was ended by `proc_exit` or does not exist.
  std::optional<std::int32_t> call(const std::string& name, std::span<const std::int32_t> arguments = {});
  /// Dies with the next call.
  std::span<std::byte> memory();

 private:
  void define(const HostFunction& function);

  Handle<wasm_engine_t, wasm_engine_delete> engine_;
  WasmModuleHandle module_;
  WasmLinkerHandle linker_;
  WasmStoreHandle store_;
  wasmtime_context_t* context_;
  wasmtime_instance_t instance_{};
  std::string failure_;
};

}  // namespace driftwood
