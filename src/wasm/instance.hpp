// A Program running in a store of its own over one Region.
//
// One thread at a time, not always the same one, except interrupt() and stop(), which
// any thread and a signal handler may call. The base of the Region never moves, so
// memory() may be kept as long as the Instance.
//
// A guest that trapped or was ended stays as it was at that instruction: its memory
// can be read, but its own invariants (its stack pointer among them) may be broken.
// The process and all other Instances go on.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/wasm_value.hpp"
#include "memory/region.hpp"
#include "wasm/determinism.hpp"
#include "wasm/host_function.hpp"
#include "wasm/program.hpp"

namespace driftwood {

/// A folder that a guest may use, as `wasmtime run --dir HOST::GUEST`.
struct DirectoryGrant {
  std::string host;
  std::string guest;
  bool read_only = false;
};

/// What WASI preview 1 gives. By default: nothing but clocks, random numbers and (if inherited) standard streams.
struct WasiOptions {
  std::vector<std::string> arguments;  ///< argv, the program's name first
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<DirectoryGrant> directories;
  bool inherit_stdin = false;
  bool inherit_stdout = false;
  bool inherit_stderr = false;
};

struct InstanceLimits {
  std::size_t memory_bytes = std::size_t{4} << 30;  ///< linear memory; memory.grow beyond it gives the guest -1
  std::uint32_t table_elements = 1u << 20;          ///< of each table; table.grow beyond it gives the guest -1
  /// Longest run of one call (of create() too); zero: no limit. Past it the call fails with guest_trap, within a tick
  /// of the engine, or when a host function that the guest is in returns.
  std::chrono::milliseconds run_time{0};
};

struct InstanceOptions {
  std::span<const HostFunction> functions;
  void* host = nullptr;  ///< given to every HostFunction; must outlive the Instance
  /// Called when the linear memory is there, with its data, before the guest's first instruction; the Region lives as
  /// long as the Instance. Only used by create() and resume().
  std::function<void(Region&)> on_memory;
  WasiOptions wasi;
  /// Where the guest's virtual clock and random numbers begin, or go on; none: they are the system's.
  std::optional<Determinism> determinism;
  InstanceLimits limits;
};

/// All that a guest at rest is, beside its Program.
struct InstanceState {
  /// Made with linear_memory_options(); its bytes are the linear memory's.
  std::unique_ptr<Region> memory;
  /// As Instance::globals() gave them.
  std::vector<WasmValue> globals;
};

class Instance {
 public:
  /// Gives the program its first Image as memory, then runs its start function and,
  /// unless it is a command, its `_initialize`.
  /// not_found: imports that are neither WASI's nor in `functions`, by name, or a granted folder;
  /// invalid_argument: the module has no memory, imports a function under another type;
  /// out_of_memory: it starts with more memory or table elements than the limits allow, or than the host has;
  /// guest_trap: its start trapped or ran too long.
  static Result<std::unique_ptr<Instance>> create(std::shared_ptr<const Program> program,
                                                  const InstanceOptions& options);
  /// Goes on from a state; runs nothing. Fails as create() does of imports and limits;
  /// incompatible: the state's globals or size of memory cannot be the program's;
  /// invalid_argument: its Region was not made with linear_memory_options(); unsupported: the program cannot be frozen.
  static Result<std::unique_ptr<Instance>> resume(std::shared_ptr<const Program> program, InstanceState state,
                                                  const InstanceOptions& options);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  /// The guest's linear memory.
  Region& memory() noexcept;
  /// The program's mutable globals in its order; with memory(), all that a freezable program's guest at rest is.
  std::vector<WasmValue> globals() const;
  /// The virtual clock and the generator as they are now; nothing where the options gave none.
  std::optional<Determinism> determinism() const;

  /// Files and folders that the guest has open below those that it was granted: they are no part of its memory, and
  /// resume() does not open them again. 0 for a program that opens none or was granted no folder, at no cost; else it
  /// takes as long as the process may have files open. Fails as call() does.
  Result<std::uint32_t> open_files();

  bool has_export(std::string_view name) const;
  /// Calls an exported function of i32 parameters and at most one i32 result (0 when it has none).
  /// guest_trap: trap, deadline or exit, with the guest's backtrace in the message, a line for each frame;
  /// cancelled: interrupted; not_found: no such function; invalid_argument: it has another type;
  /// unavailable: a call is already running.
  Result<std::int32_t> call(std::string_view name, std::span<const std::int32_t> arguments = {});
  /// Runs `_start`; the value is the exit status that the guest gave. Fails as call() does.
  Result<int> run_command();
  /// Ends the call that is running, at the guest's next loop or function entry; does nothing when none is.
  void interrupt() noexcept;
  /// Interrupts the call that is running and every later one. Any thread.
  void stop() noexcept;
  /// True when the call that is running has been interrupted: long host functions look at it and return early.
  bool interrupted() const noexcept;

 private:
  struct State;
  /// An Instance over `memory` that has run nothing.
  static Result<std::unique_ptr<Instance>> prepare(std::shared_ptr<const Program> program, const Linkage& linkage,
                                                   std::unique_ptr<Region> memory, const InstanceOptions& options);
  explicit Instance(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood
