// The actors of a process, each with a mailbox.
//
//    host --post--> mailbox --worker--> driftwood_receive --> emit, done
//                      ^                      |
//                      +------- dw_send ------+
//
// Messages of one actor are handled one after another, in the order in which they
// came; different actors run at the same time, each on a thread of its own while it
// handles a message, and none while it is at rest. When more want to run than may
// (NodeOptions::threads, workers.hpp), they take turns, a message each. An actor that traps, runs too
// long or is killed ends alone, and the messages that wait for it fail with its reason.
//
// A message is handled as a whole or not at all: what its handler asked for (a
// checkpoint, a fork, messages to others) is done when it has succeeded, in that
// order, and then the sender hears of the reply.
//
// An actor at rest may be frozen to make room (NodeOptions::max_awake): it is a snapshot
// then, still there under its number, and its next message thaws it. Nothing shows it
// but ActorStatus::state, and the time that it takes.
//
// Any thread may call, also handlers (MessageHandlers), but for ask(), freeze(), fork(), visit(),
// wait_idle(), shutdown() and the destructor in those, which would wait for themselves. spawn()
// runs guest code on the caller's thread, whose stack must have kGuestStackBytes to
// spare. Engine, Device and ModelPool of the actors must outlive the node.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actor/actor.hpp"
#include "actor/mailbox.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "snapshot/snapshot.hpp"

namespace driftwood {

struct NodeOptions {
  std::size_t max_actors = 4096;                         ///< that live at the same time
  std::size_t threads = 256;                             ///< actors that run at the same time, at least 1
  std::size_t mailbox_messages = 1024;                   ///< that wait for one actor, at least 1
  std::uint64_t waiting_bytes = std::uint64_t{1} << 28;  ///< of all messages that wait
  std::size_t ended_kept = 256;                          ///< actors that ended and are still listed
  /// Actors that are not frozen at the same time; 0: all may be. When there are more, those at rest that have handled
  /// nothing for longest are frozen. Actors that are running, or that cannot be frozen, count but stay.
  std::size_t max_awake = 0;
  std::uint64_t awake_bytes = 0;  ///< the same for the sizes of their linear memories; 0: no bound
  /// Puts a frozen actor's snapshot elsewhere, into a store perhaps, and gives it back as it lies there. Called by a
  /// worker. Where it fails, and where there is none, the snapshot stays in memory.
  std::function<Result<Snapshot>(ActorId id, const Snapshot& snapshot)> keep_frozen;
  /// Keeps what an actor asked for with dw_checkpoint. Called by the worker, with the actor at rest, which may note
  /// where it was saved (Actor::set_saved). Empty: guests are told that there are no checkpoints.
  std::function<void(ActorId id, Actor& actor, const Snapshot& snapshot)> keep_checkpoint;
};

/// One row of the node's table.
struct ActorStatus {
  ActorId id = 0;
  ActorId parent = 0;  ///< that it was forked from; 0: none
  std::string name;
  std::string program_name;
  Hash program;                            ///< of its module
  ActorState state = ActorState::at_rest;  ///< running until `done` of its message has returned
  std::size_t waiting = 0;                 ///< messages
  std::size_t memory_bytes = 0;            ///< size of the linear memory, touched or not
  std::optional<Error> ending;             ///< why it ended
};

class Node {
 public:
  /// Raises the process's limit of open files, where it may, to what `max_actors` need: each has one.
  /// invalid_argument: a number out of range.
  static Result<std::unique_ptr<Node>> create(NodeOptions options = {});
  ~Node();  ///< shutdown()
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// A new actor; `options.host.self` is set by the node. Fails as Actor::spawn does; invalid_argument: no
  /// reactor; unavailable: max_actors live, or the node shuts down.
  Result<ActorId> spawn(std::shared_ptr<const Program> program, ActorOptions options);
  /// The same for what was frozen. Fails as Actor::thaw does and as spawn() does.
  Result<ActorId> thaw(std::shared_ptr<const Program> program, const Snapshot& snapshot, ActorOptions options);

  /// Queues a message of at most DW_MAX_TEXT bytes. not_found: there is no such actor; what the actor ended with, if it
  /// has; unavailable: the mailbox or the memory for messages that wait is full; the handlers are not called then.
  Result<MessageId> post(ActorId id, std::string message, MessageHandlers handlers = {});
  /// post(), and waits for the reply. `emit` is called by a worker.
  Result<std::string> ask(ActorId id, std::string message, std::function<void(std::string_view)> emit = {});
  /// Takes a waiting message back (its `done` is called with `cancelled`, by this thread), or asks the handler of the
  /// one being handled to end early. Does nothing when it is done already. not_found: there is no such actor.
  Result<void> cancel(ActorId id, MessageId message);
  /// Ends the actor: at its next loop or function entry where it runs, else at once. Messages that wait fail (their
  /// `done` is called by this thread where the actor did not run). Does nothing when it has ended. not_found: no such
  /// actor.
  Result<void> kill(ActorId id);

  /// What the actor is when its messages up to now are handled; it goes on. Waits for that. Fails as Actor::freeze and
  /// post() do.
  Result<Snapshot> freeze(ActorId id, std::string_view label = {});
  /// Children of what the actor is when its messages up to now are handled, with its options: as dw_fork, whatever it
  /// was granted. Waits for that. A child that could not be made is listed as ended, with why. Fails as freeze() and
  /// spawn() do; invalid_argument: `count` is not 1 to DW_MAX_FORKS.
  Result<std::vector<ActorId>> fork(ActorId id, std::uint32_t count);

  /// Does something with the actor, at rest, when its messages up to now are handled. Waits for that; `work` is called
  /// by a worker. Fails as post() does.
  Result<void> visit(ActorId id, std::function<void(Actor&)> work);

  /// Freezes the actor, once its messages up to now are handled, until its next message. Waits for that; does nothing
  /// where another message came meanwhile. Fails as freeze() does.
  Result<void> put_away(ActorId id);

  /// All actors that live and the last ones that ended, by number.
  std::vector<ActorStatus> list() const;
  Result<ActorStatus> status(ActorId id) const;
  /// Threads that run actors or wait to do so.
  std::size_t threads() const;

  /// Waits until no message waits or is handled.
  void wait_idle();
  /// Kills all actors, waits until none runs, and refuses everything from then on.
  void shutdown();

  struct State;  ///< internal

 private:
  explicit Node(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood
