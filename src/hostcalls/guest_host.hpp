// The host's side of one guest: what it was granted and what the calls work on.
//
// Its address is the `host` of the guest's Instance, and it holds caches and
// borrowed things only: whatever matters lies in linear memory. One thread at a
// time (the one that runs the guest); cancel may be set from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "device/device.hpp"
#include "llm/model_pool.hpp"
#include "memory/region.hpp"
#include "wasm/host_function.hpp"

namespace driftwood {

/// What a guest may use beside its own memory.
struct Grants {
  std::set<std::string, std::less<>> models;  ///< names that model_open takes
  bool show_addresses = false;                ///< dw_info tells the host's addresses (for proofs and tests)
};

/// What a message's handler reads and writes. Empty functions: the calls say unavailable.
struct MessageChannel {
  std::string_view message;
  std::function<void(std::string_view)> emit;
  std::function<void(std::string_view)> reply;
};

struct GuestHostOptions {
  Device* device = nullptr;     ///< borrowed
  ModelPool* models = nullptr;  ///< borrowed; null: model_open finds nothing
  Grants grants;
  std::uint64_t memory_limit = std::uint64_t{4} << 30;  ///< bytes that linear memory may grow to, as dw_info tells it
  /// A line that the guest logs, with its DW_LOG_* level.
  std::function<void(std::uint32_t level, std::string_view text)> log;
  /// Tokens done of all, during a long forward.
  std::function<void(std::uint32_t done, std::uint32_t all)> progress;
};

class GuestHost {
 public:
  explicit GuestHost(GuestHostOptions options);
  ~GuestHost();

  /// Ties the calls to a guest's linear memory, which must outlive this object's use.
  void attach(Region& memory);
  void set_channel(MessageChannel channel);
  /// Asks the guest to end what it does: forward, tensor_run and emit return DW_E_CANCELLED until it is
  /// cleared.
  void set_cancelled(bool cancelled) noexcept;
  /// Drops every cache (imports, graphs, model handles stay valid): the next call builds them again.
  void drop_caches();
  /// The sentence of the last call that failed; empty before. Dies with the next call.
  std::string_view last_error() const noexcept;

  struct State;
  State& state() noexcept { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// All functions of the guest ABI (module "driftwood"), for InstanceOptions::functions.
std::span<const HostFunction> guest_abi_functions();

}  // namespace driftwood
