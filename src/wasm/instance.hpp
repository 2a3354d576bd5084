// A Program running in a store of its own over one Region.
//
// One thread at a time, except interrupt(), which any thread may call. The base
// of the Region never moves, so memory() may be kept as long as the Instance.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "memory/region.hpp"
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
  std::vector<std::string> arguments;                             ///< argv, the program's name first
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<DirectoryGrant> directories;
  bool inherit_stdin = false;
  bool inherit_stdout = false;
  bool inherit_stderr = false;
};

struct InstanceLimits {
  std::size_t memory_bytes = std::size_t{4} << 30;  ///< linear memory; grow beyond it fails in the guest
  std::uint32_t table_elements = 1u << 20;
  /// Longest run of one call; zero: no limit. Past it the call fails with guest_trap.
  std::chrono::milliseconds run_time{0};
};

struct InstanceOptions {
  std::span<const HostFunction> functions;
  void* host = nullptr;  ///< given to every HostFunction; must outlive the Instance
  WasiOptions wasi;
  InstanceLimits limits;
};

class Instance {
 public:
  /// not_found: an import that is neither WASI's nor in `functions`, by name;
  /// invalid_argument: the module has no memory or one that cannot be shared;
  /// guest_trap: the start function trapped.
  static Result<std::unique_ptr<Instance>> create(std::shared_ptr<const Program> program,
                                                  const InstanceOptions& options);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  /// The guest's linear memory.
  Region& memory() noexcept;

  bool has_export(std::string_view name) const;
  /// Calls an exported function of i32 parameters and at most one i32 result (0 when it has none).
  /// guest_trap: trap or deadline, with the guest's backtrace in the message; cancelled: interrupted.
  Result<std::int32_t> call(std::string_view name, std::span<const std::int32_t> arguments = {});
  /// Runs `_start`; the value is the exit status that the guest gave.
  Result<int> run_command();
  /// Ends the call that is running, at the guest's next loop or function entry.
  void interrupt() noexcept;

 private:
  struct State;
  explicit Instance(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood
