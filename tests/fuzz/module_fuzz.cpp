// Any bytes as a module: rewriting ends in a value or an error; and what Wasmtime admits before, it admits after, and
// can be loaded and started.

#include <wasmtime.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>

#include "wasm/engine.hpp"
#include "wasm/handles.hpp"
#include "wasm/instance.hpp"
#include "wasm/module/rewrite.hpp"
#include "wasm/program.hpp"

namespace {

using namespace driftwood;

void require(bool condition) {
  if (!condition) std::abort();
}

bool validates(const Engine& engine, std::span<const std::byte> module) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(module.data());
  const WasmErrorHandle error(wasmtime_module_validate(engine.handle(), bytes, module.size()));
  return error == nullptr;
}

bool compiles(const Engine& engine, std::span<const std::byte> module) {
  wasmtime_module_t* compiled = nullptr;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(module.data());
  const WasmErrorHandle error(wasmtime_module_new(engine.handle(), bytes, module.size(), &compiled));
  const WasmModuleHandle handle(compiled);
  return error == nullptr;
}

/// Whether a module that validates may still be refused so.
bool is_refusal(const Error& error) {
  for (const std::string_view reason :
       {"does not lie in its memory", "depends on an imported global", "are the runtime's"}) {
    if (error.message.find(reason) != std::string::npos) return true;
  }
  return false;
}

void start(Engine& engine, std::span<const std::byte> module) {
  const auto program = Program::compile(engine, module, {.freezable = false});
  if (!program) {  // not every module that validates can be compiled
    require(!compiles(engine, module));
    return;
  }
  InstanceOptions options;
  options.limits.memory_bytes = 64 * kMiB;
  options.limits.table_elements = 1000;
  options.limits.run_time = std::chrono::milliseconds(20);
  const auto instance = Instance::create(*program, options);
  if (!instance) return;
  require((*instance)->globals().size() == (*program)->facts().globals.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::unique_ptr<Engine> engine = Engine::create().value();
  const auto module = std::as_bytes(std::span(data, size));
  const auto rewritten = rewrite_module(module);
  if (rewritten) {
    const auto encoded = rewritten->facts.encode();
    require(ModuleFacts::decode(encoded).has_value());
  }
  static_cast<void>(ModuleFacts::decode(module));
  if (!validates(*engine, module)) return 0;
  if (!rewritten) {
    require(is_refusal(rewritten.error()));
    return 0;
  }
  require(validates(*engine, rewritten->binary));
  if (size < 4096) start(*engine, module);
  return 0;
}
