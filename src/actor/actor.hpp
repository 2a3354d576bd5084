// The life of one actor: a Program running over its own memory, with grants.
//
// A command runs once; a reactor is at rest between messages. Calls of one Actor
// come from one thread at a time, not always the same one; cancel(), kill() and
// state() may come from any. The runtime's Engine, Device and ModelPool must outlive
// it. Many actors of one process, with mailboxes, are a Node (node.hpp).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "hostcalls/guest_host.hpp"
#include "snapshot/snapshot.hpp"
#include "wasm/instance.hpp"
#include "wasm/program.hpp"

namespace driftwood {

enum class ActorState {
  at_rest,  ///< between messages; the guest's stack is empty
  running,  ///< handling a message
  frozen,   ///< at rest in a node, as a snapshot alone; its next message thaws it
  ended,    ///< trapped, exhausted its budget, or a command that returned
};

struct ActorOptions {
  std::string name;          ///< of the actor, for people
  std::string program_name;  ///< of its program's file, for people and for finding it again
  GuestHostOptions host;     ///< its memory_limit is that of `limits`
  WasiOptions wasi;
  /// A virtual clock and a seeded generator as part of the actor; none: those of the system.
  std::optional<Determinism> determinism;
  InstanceLimits limits;
};

struct Thawed;

class Actor {
 public:
  /// Gives the program its memory and grants, and runs its start function and, unless it is a command, its
  /// `_initialize`. Fails as Instance::create does.
  static Result<std::unique_ptr<Actor>> spawn(std::shared_ptr<const Program> program, ActorOptions options);
  ~Actor();

  ActorState state() const noexcept;
  /// Hands a reactor one message and returns its reply (empty when it made none).
  /// Each emitted piece is passed on as it comes. invalid_argument: not at rest or no reactor;
  /// guest_trap: it trapped, ran too long, or had ended before; cancelled: cancel() ended the
  /// handler; unavailable: the handler returned an error of its own. Only a trap ends the actor.
  Result<std::string> send(std::string_view message, const std::function<void(std::string_view)>& emit = {});
  /// The same for a message that comes with more: its sender, other actors to send to, ... `channel.reply` is not used.
  Result<std::string> handle(MessageChannel channel);
  /// Whether the program exports `driftwood_forked`.
  bool hears_of_forks() const;
  /// Tells a child of a fork which one it is. The handler may do all that others may but receive and answer. Fails as
  /// send() does.
  Result<void> tell_forked(std::uint32_t fork_index, MessageChannel channel);
  /// What the last handler asked for; nothing where it failed. Empty afterwards.
  ActorRequests take_requests() noexcept;
  /// Runs a command to its end; the value is its exit status. Fails as send() does.
  Result<int> run();
  /// Asks the message being handled to end early.
  void cancel() noexcept;
  /// Ends the handler that is running at its next loop or function entry, with `cancelled`, and every later one at
  /// once.
  void kill() noexcept;

  /// What the actor is now; it goes on living, copy-on-write over the same memory. Costs what was written since the
  /// last freeze or thaw. invalid_argument: it is not at rest or no reactor; unsupported: its program cannot be frozen;
  /// unavailable: it has files of its folders open.
  Result<Snapshot> freeze(std::string_view label = {});
  /// An actor that is what was frozen: maps memory, writes and reads nothing of it. What belongs to the actor
  /// (arguments, environment, clock and generator, place in a fork) is the snapshot's; what it may use (models,
  /// folders, limits) is that of `options`. incompatible: of another program, model or ABI; not_found: a model or
  /// folder that the actor uses and that is not granted or not here; corrupt: the snapshot cannot be of this program.
  static Result<Thawed> thaw(std::shared_ptr<const Program> program, const Snapshot& snapshot, ActorOptions options);
  /// Children that go on from what this actor is now, with its options; their numbers in the fork are 1 to `count`.
  Result<std::vector<std::unique_ptr<Actor>>> fork(std::uint32_t count);
  /// Notes under which root hash the actor's last snapshot was saved: the parent of those to come.
  void set_saved(const Hash& root);

  Region& memory() noexcept;
  Instance& instance() noexcept;

 private:
  struct State;
  Result<void> run_handler(std::string_view name, std::span<const std::int32_t> arguments, MessageChannel channel);
  explicit Actor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct Thawed {
  std::unique_ptr<Actor> actor;
  /// Why results may differ from those of where it was frozen, as a sentence; empty when they do not.
  std::string numerics_difference;
};

}  // namespace driftwood
