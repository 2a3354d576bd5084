// The Wasm engine: compiles Programs and hosts Instances.
//
// One Engine serves a process. It hands out Regions as linear memories, keeps
// compiled modules in a cache folder, and ticks the epoch that ends guests which
// run past their deadline. May be used from any thread; must outlive its
// Programs and Instances.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>

#include "core/error.hpp"

struct wasm_engine_t;

namespace driftwood {

struct EngineOptions {
  /// Folder for compiled modules, made when missing; none: nothing is kept.
  std::optional<std::filesystem::path> cache;
  /// How often deadlines are looked at.
  std::chrono::milliseconds tick{10};
};

class Engine {
 public:
  static Result<std::unique_ptr<Engine>> create(const EngineOptions& options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  wasm_engine_t* handle() const noexcept;
  const EngineOptions& options() const noexcept;

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// The default cache folder: $XDG_CACHE_HOME/driftwood/modules.
std::filesystem::path default_module_cache();

}  // namespace driftwood
