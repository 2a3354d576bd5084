#include "wasm/engine.hpp"

#include <wasmtime.h>

#include <utility>

#include "core/handle.hpp"
#include "core/log.hpp"
#include "wasm/epoch_ticker.hpp"
#include "wasm/file_count.hpp"
#include "wasm/linear_memory.hpp"
#include "wasm/module_cache.hpp"

namespace driftwood {

namespace {

// What changes the code that is generated must change ModuleCache's key too: see kCodeSettings there.
wasm_config_t* make_config() {
  wasm_config_t* config = wasm_config_new();

  install_memory_creator(config);
  wasmtime_config_memory_reservation_set(config, kMemoryReservation);
  wasmtime_config_memory_guard_size_set(config, kMemoryGuard);
  wasmtime_config_memory_may_move_set(config, false);
  wasmtime_config_memory_init_cow_set(config, false);  // needs memories of Wasmtime's own

  wasmtime_config_epoch_interruption_set(config, true);
  wasmtime_config_max_wasm_stack_set(config, kGuestStackBytes);
  wasmtime_config_native_unwind_info_set(config, false);  // guests' backtraces do not need it, and it slows each load

  wasmtime_config_cranelift_nan_canonicalization_set(config, false);
  wasmtime_config_wasm_relaxed_simd_set(config, true);
  wasmtime_config_wasm_relaxed_simd_deterministic_set(config, true);

  wasmtime_config_wasm_simd_set(config, true);
  wasmtime_config_wasm_bulk_memory_set(config, true);
  wasmtime_config_wasm_multi_value_set(config, true);
  wasmtime_config_wasm_tail_call_set(config, true);
#ifdef WASMTIME_FEATURE_GC
  wasmtime_config_wasm_reference_types_set(config, true);
  wasmtime_config_wasm_function_references_set(config, false);
  wasmtime_config_wasm_gc_set(config, false);
  wasmtime_config_wasm_exceptions_set(config, false);
#endif
  wasmtime_config_gc_support_set(config, false);
#ifdef WASMTIME_FEATURE_THREADS
  wasmtime_config_wasm_threads_set(config, false);
#endif
  wasmtime_config_shared_memory_set(config, false);
  wasmtime_config_wasm_multi_memory_set(config, false);
  wasmtime_config_wasm_memory64_set(config, false);
  wasmtime_config_wasm_custom_page_sizes_set(config, false);
  wasmtime_config_wasm_stack_switching_set(config, false);
#ifdef WASMTIME_FEATURE_COMPONENT_MODEL
  wasmtime_config_wasm_component_model_set(config, false);
  wasmtime_config_concurrency_support_set(config, false);
#endif
  return config;
}

}  // namespace

struct Engine::State {
  State(const EngineOptions& given, wasm_engine_t* made)
      : options(given), engine(made), ticker(made, given.tick), file_count(made) {}

  EngineOptions options;
  Handle<wasm_engine_t, wasm_engine_delete> engine;
  std::unique_ptr<ModuleCache> cache;
  EpochTicker ticker;
  FileCount file_count;
};

Result<std::unique_ptr<Engine>> Engine::create(const EngineOptions& options) {
  if (options.tick.count() <= 0) {
    return fail(ErrorCode::invalid_argument,
                "The engine's tick (" + std::to_string(options.tick.count()) + " ms) is less than 1 ms.");
  }
  wasm_engine_t* engine = wasm_engine_new_with_config(make_config());
  if (engine == nullptr) return fail(ErrorCode::internal, "Wasmtime could not be started.");
  auto state = std::make_unique<State>(options, engine);
  if (options.cache) {
    if (auto cache = ModuleCache::open(*options.cache)) {
      state->cache = *std::move(cache);
    } else {
      log(LogLevel::warning, "Compiled modules are not kept. " + cache.error().to_string());
    }
  }
  return std::unique_ptr<Engine>(new Engine(std::move(state)));
}

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Engine::~Engine() = default;

wasm_engine_t* Engine::handle() const noexcept { return state_->engine.get(); }
const EngineOptions& Engine::options() const noexcept { return state_->options; }
const ModuleCache* Engine::cache() const noexcept { return state_->cache.get(); }
EpochTicker& Engine::ticker() noexcept { return state_->ticker; }
FileCount& Engine::file_count() noexcept { return state_->file_count; }

}  // namespace driftwood
