// An actor: a Program running over a memory of its own, with a mailbox.
//
// Messages of one actor are handled one after another, in the order in which they came; different
// actors run at the same time, each on a thread of the Runtime's. An actor that traps, runs too long
// or is killed ends alone, and the messages that wait for it fail with the reason.
//
// An Actor is a handle: copies are cheap and stand for the same actor, and none of them keeps it
// running or ends it. It lives until kill(), until it ends itself, or until its Runtime ends; from
// then on what is asked of it fails with the reason. Handles may outlive the Runtime.
//
// Any thread may call. Handlers are called by a thread of the Runtime, one after another for an actor;
// in them the calls that wait (ask, freeze, save, fork) fail with invalid_argument, the others may be
// used. A handler must not throw (std::terminate is called), and must not destroy or shut down the Runtime.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <driftwood/error.hpp>
#include <driftwood/export.hpp>
#include <driftwood/hash.hpp>
#include <driftwood/snapshot.hpp>
#include <driftwood/store.hpp>

namespace driftwood::DRIFTWOOD_V1 {

struct RuntimeState;  ///< internal

/// The number of an actor in its Runtime, never used twice there; 0 stands for none.
using ActorId = std::uint64_t;
/// The number of a message in its Runtime, never used twice there.
using MessageId = std::uint64_t;

/// How grave a line is that a guest logs.
enum class LogLevel : std::uint8_t { debug, info, warning, error };

/// A folder of the host's that a guest may use.
struct FolderGrant {
  std::filesystem::path host;
  std::string guest;  ///< the name that the guest knows: "/data"
  bool read_only = false;
};

/// Makes clocks and random numbers a part of the actor: its run depends on nothing else than its messages.
struct Determinism {
  std::uint64_t seed = 0;
  std::uint64_t clock_ns = 0;  ///< what the clocks show at first, since 1970; each reading advances them by 1000
};

/// What an actor is given. By default it may use nothing but its own memory.
struct ActorOptions {
  std::string name;                 ///< for people
  std::vector<std::string> models;  ///< that it may open, by the names of Runtime::add_model()
  std::vector<FolderGrant> folders;
  std::vector<std::string> arguments;  ///< argv, the program's name first
  std::vector<std::pair<std::string, std::string>> environment;
  bool standard_streams = false;  ///< it reads and writes the process's standard input, output and error

  std::size_t memory_bytes = std::size_t{4} << 30;  ///< most linear memory, at most 4 GiB
  std::chrono::milliseconds run_time{0};            ///< of one message; past it the actor ends. 0: no limit
  /// Among actors that wait for the same model, in -8 to 8 (the nearest, beyond): each step more doubles the share of
  /// its prompts, among prompts and beside tokens that are generated, which are computed together. Nobody starves, and
  /// no result depends on it. Children of a fork have their parent's.
  int priority = 0;
  std::uint32_t max_forks = 0;  ///< children that one message may ask for; 0: none
  std::vector<ActorId> peers;   ///< that it may send to, beside its parent and its children
  bool all_peers = false;       ///< it may send to every actor of the Runtime
  std::optional<Determinism> determinism;

  /// Handlers, as described above. Lines that the guest logs.
  std::function<void(LogLevel level, std::string_view line)> on_log;
  /// Tokens done of all, during a long forward pass.
  std::function<void(std::uint32_t done, std::uint32_t all)> on_progress;
};

enum class ActorState {
  at_rest,  ///< between messages
  running,  ///< handling one
  frozen,   ///< at rest, as a snapshot alone; its next message thaws it
  ended,    ///< it trapped, ran too long or was killed
};

/// "at_rest", "running", "frozen", "ended".
DRIFTWOOD_API std::string_view to_string(ActorState state) noexcept;

struct ActorStatus {
  ActorId id = 0;
  ActorId parent = 0;  ///< that it was forked from; 0: none
  std::string name;
  std::string program_name;
  Hash program;
  ActorState state = ActorState::at_rest;
  std::size_t waiting = 0;       ///< messages
  std::size_t memory_bytes = 0;  ///< size of the linear memory, touched or not
  std::optional<Error> ending;   ///< why it ended
};

/// Whom a message's answer goes to.
struct MessageHandlers {
  /// A piece that the guest emits while it works; valid during the call.
  std::function<void(std::string_view piece)> emit;
  /// Called once for each message that was taken, after its last piece: the reply (empty where there was none), or why
  /// there is none. Where a message is taken back, the actor killed or the Runtime ended before it was handled, by the
  /// thread that does so.
  std::function<void(Result<std::string> reply)> done;
};

class DRIFTWOOD_API Actor {
 public:
  ActorId id() const noexcept;
  /// not_found: it ended long ago and is no longer listed.
  Result<ActorStatus> status() const;

  /// Sends a message of at most 64 MiB and waits for the reply. guest_trap: the actor trapped or ran too long, and has
  /// ended; unavailable: the guest's handler failed, or the mailbox is full; cancelled: by cancel(), kill() or the
  /// Runtime's end. Only a trap ends the actor.
  Result<std::string> ask(std::string message, std::function<void(std::string_view piece)> emit = {}) const;
  /// Queues a message and returns. As ask() fails; the handlers are not called then.
  Result<MessageId> post(std::string message, MessageHandlers handlers = {}) const;
  /// Takes a waiting message back, or asks the guest to end its handling early. Does nothing when it is done already.
  Result<void> cancel(MessageId message) const;
  /// Ends the actor: where it runs, at its next loop or function entry, else at once. Does nothing when it has ended.
  Result<void> kill() const;

  /// What the actor is when its messages up to now are handled; it goes on, copy-on-write. Costs what was written since
  /// its last freeze. unsupported: its program cannot be frozen; unavailable: it has files of its folders open; what
  /// the actor ended with, if it has.
  Result<Snapshot> freeze(std::string_view label = {}) const;
  /// freeze(), saved in a store; the actor's next snapshot has this one as its parent, and its file holds only what
  /// changed. `label` as Store::save() takes it. Fails as freeze() and Store::save() do.
  Result<SnapshotId> save(Store& store, std::string_view label = {}) const;
  /// Children (1 to 1024) that go on from what the actor is when its messages up to now are handled, with its options.
  /// A guest that wants to hears which one it is. Fails as freeze() does; unavailable, too: no room for so many actors.
  Result<std::vector<Actor>> fork(std::uint32_t count) const;

  /// Whether both stand for the same actor.
  friend bool operator==(const Actor&, const Actor&) = default;

 private:
  friend class Runtime;
  friend struct RuntimeState;
  Actor(std::shared_ptr<RuntimeState> runtime, ActorId id) noexcept;
  std::shared_ptr<RuntimeState> runtime_;
  ActorId id_;
};

}  // namespace driftwood::DRIFTWOOD_V1
