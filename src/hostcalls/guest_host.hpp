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
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "device/device.hpp"
#include "llm/model_pool.hpp"
#include "memory/region.hpp"
#include "wasm/host_function.hpp"

namespace driftwood {

/// The number of an actor in its node, never used twice; 0 stands for none.
using ActorId = std::uint64_t;

/// Actors that a guest may send messages to, beside its parent and its children.
struct PeerGrant {
  bool all = false;  ///< every actor of the node
  std::set<ActorId> listed;
};

/// What a guest may use beside its own memory.
struct Grants {
  std::set<std::string, std::less<>> models;  ///< names that model_open takes
  bool show_addresses = false;                ///< dw_info tells the host's addresses (for proofs and tests)
  PeerGrant peers;
  std::uint32_t max_forks = 0;  ///< children that one message may ask for, up to DW_MAX_FORKS; 0: none
};

/// Who a guest is, as dw_self tells it.
struct ActorIdentity {
  ActorId id = 0;
  ActorId parent = 0;            ///< the actor that it was forked from
  std::uint32_t fork_index = 0;  ///< from 1 on, among the children of one fork
};

/// What a message's handler reads and writes. Empty functions: the calls say unavailable.
/// Used by the thread that runs the guest, but for `cancelled`.
struct MessageChannel {
  std::string_view message;
  std::function<void(std::string_view)> emit;
  std::function<void(std::string_view)> reply;
  ActorId sender = 0;  ///< 0: the host
  /// Takes a copy of a message, to be delivered once the handler has succeeded; the errors are dw_send's.
  std::function<Result<void>(ActorId to, std::string_view message)> send;
  /// Sets `count` numbers aside for the children of a fork and returns the first; the others follow it.
  std::function<Result<ActorId>(std::uint32_t count)> reserve_children;
  bool keeps_checkpoints = false;  ///< whoever runs the actor sees to ActorRequests::checkpoint
  /// Looked at instead of what set_cancelled() sets, where given; outlives the message.
  const std::atomic<bool>* cancelled = nullptr;
};

/// What a handler has asked for, to be done by whoever runs the actor once it has succeeded, in this order.
struct ActorRequests {
  std::optional<std::string> checkpoint;  ///< the label: UTF-8 without control characters
  std::uint32_t forks = 0;                ///< children
  ActorId first_child = 0;                ///< their numbers, as reserve_children gave them
};

struct GuestHostOptions {
  Device* device = nullptr;     ///< borrowed
  ModelPool* models = nullptr;  ///< borrowed; null: model_open finds nothing
  Grants grants;
  ActorIdentity self;
  std::int8_t priority = 0;                             ///< of its passes: ForwardRequest::priority
  std::uint64_t memory_limit = std::uint64_t{4} << 30;  ///< bytes that linear memory may grow to, as dw_info tells it
  /// A line that the guest logs, with its DW_LOG_* level.
  std::function<void(std::uint32_t level, std::string_view text)> log;
  /// Tokens done of all, during a long forward.
  std::function<void(std::uint32_t done, std::uint32_t all)> progress;
};

/// A guest's number for an open model.
struct ModelHandle {
  std::uint32_t handle = 0;
  std::string name;  ///< as granted
  Hash hash;         ///< of the model's file
  friend bool operator==(const ModelHandle&, const ModelHandle&) = default;
};

class GuestHost {
 public:
  explicit GuestHost(GuestHostOptions options);
  ~GuestHost();

  /// Ties the calls to a guest's linear memory, which must outlive this object's use.
  void attach(Region& memory);
  /// Begins the handling of a message; an empty channel ends it. No failure of a call is remembered beyond either, so
  /// that a guest that was thawed between them sees nothing else.
  void set_channel(MessageChannel channel);
  /// What the guest has asked for since the last set_channel(); empty afterwards.
  ActorRequests take_requests() noexcept;
  /// Asks the guest to end what it does: forward, tensor_run and emit return DW_E_CANCELLED until it is
  /// cleared.
  void set_cancelled(bool cancelled) noexcept;
  /// Drops every cache (imports, graphs, model handles stay valid): the next call builds them again.
  void drop_caches();
  /// The models that the guest has open: the one thing of these calls that does not lie in its memory.
  std::vector<ModelHandle> model_handles() const;
  /// Opens handles as they were, in place of those that are; loads nothing, though a model's file is read where its
  /// hash is not known yet. not_found: a model that was not granted or is not here; incompatible: another file;
  /// corrupt: handles that cannot be.
  Result<void> restore_model_handles(std::span<const ModelHandle> handles);
  /// The sentence of the last call that failed since set_channel(); empty before. Dies with the next call.
  std::string_view last_error() const noexcept;

  struct State;
  State& state() noexcept { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// All functions of the guest ABI (module "driftwood"), for InstanceOptions::functions.
std::span<const HostFunction> guest_abi_functions();

}  // namespace driftwood
