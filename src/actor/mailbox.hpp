// The messages that wait for one actor, in the order in which they came.
//
// Bounded: a place is taken by a message, or by the promise of one. Holds no lock; the
// Node's guards it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "hostcalls/guest_host.hpp"

namespace driftwood {

class Actor;

/// The number of a message in its node, never used twice.
using MessageId = std::uint64_t;

/// Whom a message's answer goes to. Called under no lock, for the messages of one actor one after another, by the
/// worker that handles them; for messages that were never handled by whoever cancelled them, killed the actor or shut
/// the node down. They must not throw, and may post to the node but not wait for it.
struct MessageHandlers {
  std::function<void(std::string_view piece)> emit;
  /// Called once for each message that was taken, after its last piece: the reply (empty when there was none), or what
  /// Actor::send fails with, or the end of the actor or the node.
  std::function<void(Result<std::string> reply)> done;
};

struct Message {
  enum class Kind : std::uint8_t {
    text,    ///< for driftwood_receive
    forked,  ///< for driftwood_forked: tells a child of a fork which one it is
    work,    ///< for the host: done with the actor at rest
    freeze,  ///< for the node: the actor goes on as a snapshot alone, unless more waits for it
  };

  MessageId id = 0;
  Kind kind = Kind::text;
  ActorId sender = 0;  ///< 0: the host
  std::string text;
  std::function<void(Actor&)> work;
  MessageHandlers handlers;
};

class Mailbox {
 public:
  explicit Mailbox(std::size_t bound) : bound_(bound) {}

  std::size_t bound() const noexcept { return bound_; }
  std::size_t waiting() const noexcept { return messages_.size(); }
  bool empty() const noexcept { return messages_.empty(); }
  bool full() const noexcept { return messages_.size() + promised_ >= bound_; }

  void push(Message message) { messages_.push_back(std::move(message)); }
  /// Before all others.
  void push_first(Message message) { messages_.push_front(std::move(message)); }
  /// Keeps a place for a message that may come.
  void promise() noexcept { ++promised_; }
  /// Gives a promised place up, to push() into it or not.
  void redeem() noexcept { --promised_; }

  /// The next message; there must be one.
  Message pop();
  /// Takes one message out, if it still waits.
  std::optional<Message> remove(MessageId id);
  std::deque<Message> take_all() noexcept { return std::exchange(messages_, {}); }

 private:
  std::size_t bound_;
  std::size_t promised_ = 0;
  std::deque<Message> messages_;
};

}  // namespace driftwood
