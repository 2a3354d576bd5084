// A Program whose imports are resolved against one table of host functions.
//
// Made once and shared by all Instances of that pair, so that a spawn looks up no
// names: what differs between Instances, the host data, is the store's. Immutable;
// any thread may use it. Internal to src/wasm.
#pragma once

#include <wasmtime.h>

#include <memory>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "wasm/handles.hpp"
#include "wasm/host_function.hpp"
#include "wasm/program.hpp"

namespace driftwood {

class Linkage {
 public:
  /// not_found: imports that nothing gives, all named; invalid_argument: an import
  /// of another type than the host's function.
  static Result<std::unique_ptr<const Linkage>> create(const Program& program, std::span<const HostFunction> functions);

  /// True when it was made from an equal table.
  bool made_from(std::span<const HostFunction> functions) const noexcept;
  /// Whether stores need WASI.
  bool uses_wasi() const noexcept { return uses_wasi_; }
  const wasmtime_instance_pre_t* handle() const noexcept { return instance_pre_.get(); }

 private:
  Linkage(std::span<const HostFunction> functions, bool uses_wasi, WasmInstancePreHandle instance_pre);

  std::vector<HostFunction> functions_;
  bool uses_wasi_;
  WasmInstancePreHandle instance_pre_;
};

}  // namespace driftwood
