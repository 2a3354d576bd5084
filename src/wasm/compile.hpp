// From the bytes of a module, text or binary, to code and facts. Internal to src/wasm.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "wasm/engine.hpp"
#include "wasm/handles.hpp"
#include "wasm/module/module_facts.hpp"
#include "wasm/program.hpp"

namespace driftwood {

struct CompiledModule {
  WasmModuleHandle code;
  std::vector<std::byte> facts;  ///< encoded ModuleFacts
};

/// Validates, rewrites and compiles; nothing is kept anywhere. Fails as Program::compile does.
Result<CompiledModule> compile_module(const Engine& engine, std::span<const std::byte> module,
                                      const ProgramOptions& options);

/// unsupported, with the reason: the program cannot be frozen, and `options` do not allow that.
Result<void> check_freezable(const ModuleFacts& facts, const ProgramOptions& options);

}  // namespace driftwood
