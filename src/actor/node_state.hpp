// What a Node is made of. Internal to src/actor.
//
// One lock guards the table, its records and the counts. Under it nothing is called
// that may take long or comes from outside: no guest, no handler, no destructor of a
// message or an actor. Workers' own lock is taken inside it, never the other way.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "actor/actor_table.hpp"
#include "actor/mailbox.hpp"
#include "actor/node.hpp"
#include "actor/workers.hpp"

namespace driftwood {

/// What an actor leaves behind: to be destroyed under no lock.
struct Remains {
  ActorId id = 0;
  std::unique_ptr<Actor> actor;
  std::optional<Snapshot> frozen;
  std::deque<Message> waiting;
  Error reason;
};

struct Node::State {
  explicit State(NodeOptions given);

  // ---- with the lock held ----

  /// A record without an actor yet. unavailable: no room, or closing.
  Result<std::shared_ptr<ActorRecord>> reserve(std::shared_ptr<const Program> program, ActorOptions options);
  /// Adds records for children of an actor, whose numbers follow each other. unavailable: no room, or closing.
  Result<void> reserve_children(const ActorRecord& parent, std::uint32_t count,
                                std::vector<std::shared_ptr<ActorRecord>>& children);
  /// not_found: there is none.
  Result<std::shared_ptr<ActorRecord>> find(ActorId id) const;
  /// Whether one more message of `bytes` may wait. unavailable: a bound is reached; what the actor ended with.
  Result<void> check_room(const ActorRecord& record, std::size_t bytes) const;
  /// Takes a message into the mailbox and sees to it that it is handled. unavailable: no thread can be had; the message
  /// is as it was then.
  Result<void> accept(const std::shared_ptr<ActorRecord>& record, Message&& message);
  /// Has a worker handle the messages of a record that is ready.
  Result<void> schedule(const std::shared_ptr<ActorRecord>& record);
  /// An actor has been made or thawed, or its memory has grown: others are frozen where there are too many now.
  void note_awake(ActorRecord& record);
  /// A worker has done with the actor, which is awake: it may be frozen.
  void note_rest(const std::shared_ptr<ActorRecord>& record);
  /// Has workers freeze those that rest longest, while there are too many awake.
  void freeze_surplus();
  /// Makes an actor that no worker handles an ended one.
  Remains end(ActorRecord& record, Error reason);
  /// Ends the actor now, or has its worker do it.
  std::optional<Remains> kill(ActorRecord& record, Error reason);

  // ---- without the lock ----

  /// A new actor, made by `make` of the record that is reserved for it. Fails as reserve() and `make` do.
  Result<ActorId> adopt(std::shared_ptr<const Program> program, ActorOptions actor_options,
                        const std::function<Result<std::unique_ptr<Actor>>(const ActorRecord&)>& make);
  /// Queues a message for an actor. Fails as Node::post does.
  Result<MessageId> post(ActorId id, Message message);
  /// Gives a reserved record its actor; one that must not be any more is destroyed, and the value is why.
  Result<void> give_birth(const std::shared_ptr<ActorRecord>& record, std::unique_ptr<Actor> actor);
  /// Gives reserved children what their parent was; where that fails, the child ends with the reason.
  void give_birth(std::span<const std::shared_ptr<ActorRecord>> children, Snapshot snapshot);
  /// Ends an actor now, or has its worker do it.
  void kill_now(ActorRecord& record, Error reason);
  /// Leaves no trace of a reserved record.
  void forget(ActorRecord& record, Error reason);
  /// Destroys what is left and tells those whose messages waited.
  void bury(Remains remains);
  /// Messages were seen to: their senders know, and nothing of them is left.
  void settle(std::size_t messages);

  const NodeOptions options;
  mutable std::mutex mutex;
  std::condition_variable became_idle;
  ActorTable table;
  AwakeActors awake;
  ActorId last_actor = 0;
  MessageId last_message = 0;
  std::uint64_t waiting_bytes = 0;  ///< of messages in mailboxes and of those promised to them
  std::size_t pending = 0;          ///< messages that wait or are handled
  bool closing = false;
  Workers workers;  ///< last: its threads use the rest
};

/// Handles the next message of an actor, on a worker. True: more of them wait.
bool take_turn(Node::State& node, const std::shared_ptr<ActorRecord>& record);

}  // namespace driftwood
