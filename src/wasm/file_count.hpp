// Counts the files that a guest has open through WASI.
//
// Wasmtime keeps a guest's descriptors with its store and tells the host nothing of
// them. A module of our own in the same store can ask, through the functions that the
// guest itself uses: it shares the guest's memory, which they need to be there, and asks
// only what writes nothing to it. Internal to src/wasm.
#pragma once

#include <wasmtime.h>

#include <cstdint>
#include <mutex>

#include "core/error.hpp"
#include "wasm/handles.hpp"

namespace driftwood {

/// One for each engine. Any thread.
class FileCount {
 public:
  explicit FileCount(wasm_engine_t* engine) : engine_(engine) {}
  FileCount(const FileCount&) = delete;
  FileCount& operator=(const FileCount&) = delete;

  /// Adds the counting function to a store with WASI whose guest has `memory`; it takes arguments() and gives the
  /// count. Once for each store, with which it ends.
  Result<wasmtime_func_t> add_to(wasmtime_context_t* context, const wasmtime_memory_t& memory);

  struct Arguments {
    std::int32_t given;  ///< descriptors that a guest begins with
    std::int32_t end;    ///< above any that it can have
  };
  /// Of a guest that was granted so many folders.
  static Arguments arguments(std::size_t folders) noexcept;

 private:
  Result<const wasmtime_module_t*> module();

  wasm_engine_t* engine_;
  std::mutex mutex_;
  WasmModuleHandle module_;  ///< compiled at its first use
};

}  // namespace driftwood
