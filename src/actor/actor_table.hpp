// All actors of a node in one table: those that live, and the last ones that ended, with why.
//
// Holds no lock; the Node's guards it, and everything in its records but what a worker
// uses of an actor while it handles a message. Internal to src/actor.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "actor/actor.hpp"
#include "actor/awake_actors.hpp"
#include "actor/mailbox.hpp"
#include "actor/node.hpp"

namespace driftwood {

struct ActorRecord {
  ActorRecord(std::shared_ptr<const Program> of, ActorOptions given, std::size_t mailbox_bound)
      : program(std::move(of)), options(std::move(given)), mailbox(mailbox_bound) {}

  ActorId id() const noexcept { return options.host.self.id; }
  ActorId parent() const noexcept { return options.host.self.parent; }
  bool ended() const noexcept { return ending.has_value(); }
  /// It can handle messages: from its birth to its end.
  bool lives() const noexcept { return actor != nullptr || frozen.has_value(); }
  ActorStatus status() const;

  const std::shared_ptr<const Program> program;
  const ActorOptions options;      ///< its own, and its children's but for who they are
  std::unique_ptr<Actor> actor;    ///< null for a child before its birth, while it is frozen, and after the end
  std::optional<Snapshot> frozen;  ///< what it is, in place of `actor`
  bool stays_awake = false;        ///< it could not be frozen; until its next message, if it ever can
  AwakeActors::Place awake;        ///< among those that are not frozen
  Mailbox mailbox;
  bool scheduled = false;              ///< a worker handles its messages, or has been told to
  MessageId current = 0;               ///< being handled; 0: none
  std::atomic<bool> cancelled{false};  ///< the current message; read by the worker without the lock
  std::optional<Error> killed;         ///< while `current` is handled: it shall end then, for this reason
  std::optional<Error> ending;         ///< why it ended
};

class ActorTable {
 public:
  explicit ActorTable(std::size_t ended_kept) : ended_kept_(ended_kept) {}

  void insert(std::shared_ptr<ActorRecord> record);
  /// Null for one that there never was, or that ended long ago.
  std::shared_ptr<ActorRecord> find(ActorId id) const;
  /// Leaves no trace of a record.
  void erase(ActorId id);
  /// Keeps a record that has just ended among the last ones.
  void retire(const ActorRecord& record);

  /// Records of actors that have not ended.
  std::size_t living() const noexcept { return records_.size() - ended_.size(); }
  std::vector<std::shared_ptr<ActorRecord>> all() const;

 private:
  std::size_t ended_kept_;
  std::map<ActorId, std::shared_ptr<ActorRecord>> records_;
  std::deque<ActorId> ended_;  ///< those of records_ that have ended, oldest first
};

}  // namespace driftwood
