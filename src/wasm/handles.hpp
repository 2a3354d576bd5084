// Owners of Wasmtime's handles, and its vectors as C++ sees them. Internal to src/wasm.
#pragma once

#include <wasmtime.h>

#include <string_view>

#include "core/handle.hpp"

namespace driftwood {

using WasmErrorHandle = Handle<wasmtime_error_t, wasmtime_error_delete>;
using WasmTrapHandle = Handle<wasm_trap_t, wasm_trap_delete>;
using WasmModuleHandle = Handle<wasmtime_module_t, wasmtime_module_delete>;
using WasmStoreHandle = Handle<wasmtime_store_t, wasmtime_store_delete>;
using WasmLinkerHandle = Handle<wasmtime_linker_t, wasmtime_linker_delete>;
using WasmInstancePreHandle = Handle<wasmtime_instance_pre_t, wasmtime_instance_pre_delete>;
using WasmFunctypeHandle = Handle<wasm_functype_t, wasm_functype_delete>;

/// One of Wasmtime's vectors, freed at the end of the scope.
template <typename Vector, auto Free>
struct WasmVector : Vector {
  WasmVector() : Vector{} {}
  ~WasmVector() { Free(this); }
  WasmVector(const WasmVector&) = delete;
  WasmVector& operator=(const WasmVector&) = delete;

  auto begin() const noexcept { return this->data; }
  auto end() const noexcept { return this->data + this->size; }
};

using WasmBytes = WasmVector<wasm_byte_vec_t, wasm_byte_vec_delete>;
using WasmFrames = WasmVector<wasm_frame_vec_t, wasm_frame_vec_delete>;
using WasmImports = WasmVector<wasm_importtype_vec_t, wasm_importtype_vec_delete>;
using WasmExports = WasmVector<wasm_exporttype_vec_t, wasm_exporttype_vec_delete>;

/// Dies with `bytes`.
inline std::string_view text_of(const wasm_byte_vec_t& bytes) noexcept { return {bytes.data, bytes.size}; }

}  // namespace driftwood
