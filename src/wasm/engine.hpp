// The Wasm engine: compiles Programs and hosts Instances.
//
// One Engine serves a process. It hands out Regions as linear memories, keeps
// compiled modules in a cache folder, and ticks the epoch that ends guests which
// run past their deadline. May be used from any thread; must outlive its
// Programs and Instances.
//
// What a guest may use: WebAssembly 2.0 (SIMD, bulk memory, multi-value, reference
// types without externref), tail calls, relaxed SIMD in its deterministic form.
// Threads and shared memory, several memories, 64-bit memories, GC and exceptions are
// refused when a module is compiled: they could not be frozen later. What else could
// not be is Program's to refuse.
//
// The same guest computes the same bits on every machine, but for the sign and
// payload of NaNs, which are those of the architecture: making them canonical was
// measured to slow loops over floats by a factor of 2 to 2.6.
//
// A thread that calls guests needs kGuestStackBytes of stack for them beyond what
// its host code uses.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>

#include "core/bytes.hpp"
#include "core/error.hpp"
#include "memory/region.hpp"

struct wasm_engine_t;

namespace driftwood {

class EpochTicker;
class FileCount;
class ModuleCache;

/// Address space of every linear memory, and the guard behind it. Compiled code relies on both: a 32-bit index reaches
/// no further than the reservation, and an access with a constant offset below the guard's size ends in the guard, so
/// neither is checked.
inline constexpr std::size_t kMemoryReservation = 4 * kGiB;
inline constexpr std::size_t kMemoryGuard = 32 * kMiB;

/// What a Region must be made with to become a linear memory of `size` bytes.
constexpr RegionOptions linear_memory_options(std::size_t size) {
  return {.reserve = kMemoryReservation, .commit = size, .guard = kMemoryGuard};
}

/// Native stack that a guest's calls may use; a deeper recursion is a guest_trap.
inline constexpr std::size_t kGuestStackBytes = std::size_t{1} << 20;

struct EngineOptions {
  /// Folder for compiled modules, made when missing; none: nothing is kept. One that
  /// cannot be used (not writable, open to other users) is reported in the log and left alone.
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

  /// For Program: where compiled modules are kept, or null.
  const ModuleCache* cache() const noexcept;
  /// For Instance: what ends guests at their deadline.
  EpochTicker& ticker() noexcept;
  /// For Instance: what counts the files that guests have open.
  FileCount& file_count() noexcept;

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood
