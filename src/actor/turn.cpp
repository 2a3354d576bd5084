// One turn of an actor on a worker: it handles one message, then what its handler asked for is done.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "actor/node_state.hpp"
#include "core/log.hpp"

namespace driftwood {
namespace {

class Turn {
 public:
  Turn(Node::State& node, std::shared_ptr<ActorRecord> record) : node_(node), record_(std::move(record)) {}

  /// Handles a message, if one waits. True: more of them do.
  bool run();

 private:
  struct Letter {
    std::shared_ptr<ActorRecord> to;
    std::string text;
  };

  bool begin();
  /// Sees to it that there is an Actor.
  Result<void> wake();
  /// Makes a snapshot of the actor that stands in its place, unless more waits for it.
  Result<void> put_away();
  Result<std::string> handle();
  bool finish();
  void end(const Error& reason);
  void answer(Result<std::string> reply);

  /// What the guest's calls do, while its handler runs.
  Result<void> send(ActorId to, std::string_view text);
  Result<ActorId> reserve_children(std::uint32_t count);

  /// What follows a handler that succeeded, and one that did not.
  void perform(const ActorRequests& requests);
  void deliver();
  void withdraw();
  void withdraw_children();

  Node::State& node_;
  const std::shared_ptr<ActorRecord> record_;
  Message message_;
  std::vector<Letter> letters_;
  std::vector<std::shared_ptr<ActorRecord>> children_;
};

bool Turn::run() {
  if (!begin()) return false;
  if (message_.kind == Message::Kind::freeze) {
    const Result<void> away = put_away();
    answer(away ? Result<std::string>(std::string()) : std::unexpected(away.error()));
    return finish();
  }
  if (auto woken = wake(); !woken) {
    answer(std::unexpected(std::move(woken).error()));
    return finish();
  }
  if (record_->program->freezable()) record_->stays_awake = false;  // what was in a freeze's way may be gone
  Result<std::string> reply = handle();
  if (record_->actor->state() == ActorState::ended) {
    withdraw();
    end(reply.error());
    return false;
  }
  if (reply) {
    perform(record_->actor->take_requests());
  } else {
    withdraw();
    // Nobody else waits for what came of it.
    if (message_.kind == Message::Kind::forked) {
      log(LogLevel::warning, fmt::format("Actor {} goes on as it was forked, since it failed to take note of that: {}",
                                         record_->id(), reply.error().to_string()));
    }
  }
  answer(std::move(reply));
  return finish();
}

bool Turn::begin() {
  const std::lock_guard lock(node_.mutex);
  if (record_->ended() || record_->mailbox.empty()) {
    record_->scheduled = false;
    return false;
  }
  message_ = record_->mailbox.pop();
  node_.waiting_bytes -= message_.text.size();
  record_->current = message_.id;
  record_->cancelled.store(false, std::memory_order_relaxed);
  return true;
}

Result<void> Turn::wake() {
  if (record_->actor != nullptr) return {};
  DW_TRY_ASSIGN(Thawed thawed, Actor::thaw(record_->program, *record_->frozen, record_->options));
  std::optional<Snapshot> frozen;
  const std::lock_guard lock(node_.mutex);
  record_->actor = std::move(thawed.actor);
  record_->frozen.swap(frozen);
  if (record_->killed) record_->actor->kill();
  node_.note_awake(*record_);
  return {};
}

Result<void> Turn::put_away() {
  if (record_->actor == nullptr) return {};
  {
    const std::lock_guard lock(node_.mutex);
    if (!record_->mailbox.empty()) return {};
  }
  Result<Snapshot> snapshot = record_->actor->freeze();
  if (!snapshot) {
    record_->stays_awake = true;
    return std::unexpected(std::move(snapshot).error());
  }
  if (node_.options.keep_frozen) {
    if (auto kept = node_.options.keep_frozen(record_->id(), *snapshot)) {
      snapshot = std::move(kept);
    } else {
      log(LogLevel::warning,
          fmt::format("The frozen actor {} stays in memory: {}", record_->id(), kept.error().to_string()));
    }
  }
  std::unique_ptr<Actor> actor;
  const std::lock_guard lock(node_.mutex);
  actor.swap(record_->actor);
  record_->frozen = *std::move(snapshot);
  node_.awake.remove(record_->awake);
  return {};
}

Result<std::string> Turn::handle() {
  MessageChannel channel;
  channel.message = message_.text;
  channel.sender = message_.sender;
  channel.send = [this](ActorId to, std::string_view text) { return send(to, text); };
  channel.reserve_children = [this](std::uint32_t count) { return reserve_children(count); };
  channel.keeps_checkpoints = node_.options.keep_checkpoint && record_->program->freezable();
  channel.cancelled = &record_->cancelled;
  if (message_.kind == Message::Kind::forked) {
    const std::uint32_t index = record_->options.host.self.fork_index;
    DW_TRY(record_->actor->tell_forked(index, std::move(channel)));
    return std::string();
  }
  if (message_.kind == Message::Kind::work) {
    message_.work(*record_->actor);
    return std::string();
  }
  if (message_.handlers.emit) channel.emit = [this](std::string_view piece) { message_.handlers.emit(piece); };
  return record_->actor->handle(std::move(channel));
}

void Turn::answer(Result<std::string> reply) {
  if (message_.handlers.done) message_.handlers.done(std::move(reply));
  message_ = {};
}

bool Turn::finish() {
  std::optional<Remains> remains;
  bool more = false;
  {
    const std::lock_guard lock(node_.mutex);
    record_->current = 0;
    if (record_->killed) remains = node_.end(*record_, *record_->killed);
    more = !record_->mailbox.empty();
    record_->scheduled = more;
    if (!more && record_->actor != nullptr) node_.note_rest(record_);
  }
  if (remains) node_.bury(std::move(*remains));
  node_.settle(1);
  return more;
}

void Turn::end(const Error& reason) {
  Remains remains;
  {
    const std::lock_guard lock(node_.mutex);
    record_->scheduled = false;
    remains = node_.end(*record_, record_->killed.value_or(reason));
  }
  answer(std::unexpected(remains.reason));
  node_.bury(std::move(remains));
  node_.settle(1);
}

Result<void> Turn::send(ActorId to, std::string_view text) {
  const ActorId self = record_->id();
  if (to == self) return fail(ErrorCode::invalid_argument, "An actor cannot send a message to itself.");
  Letter letter{.to = nullptr, .text = std::string(text)};
  const PeerGrant& peers = record_->options.host.grants.peers;
  const std::lock_guard lock(node_.mutex);
  letter.to = node_.table.find(to);
  const bool family = to == record_->parent() || (letter.to != nullptr && letter.to->parent() == self);
  if (!family && !peers.all && !peers.listed.contains(to)) {
    return fail(ErrorCode::not_found, fmt::format("Actor {} was not granted to this one as a peer.", to));
  }
  if (letter.to == nullptr || letter.to->ended()) {
    return fail(ErrorCode::not_found, letter.to == nullptr ? fmt::format("There is no actor {}.", to)
                                                           : fmt::format("Actor {} has ended.", to));
  }
  DW_TRY(node_.check_room(*letter.to, text.size()));
  letters_.push_back(std::move(letter));
  letters_.back().to->mailbox.promise();
  node_.waiting_bytes += text.size();
  return {};
}

Result<ActorId> Turn::reserve_children(std::uint32_t count) {
  if (!record_->program->freezable()) {
    return fail(ErrorCode::unsupported,
                fmt::format("This program cannot be forked. {}", record_->program->freeze_obstacle()));
  }
  const std::lock_guard lock(node_.mutex);
  DW_TRY(node_.reserve_children(*record_, count, children_));
  return children_.front()->id();
}

void Turn::perform(const ActorRequests& requests) {
  // Children that the guest was not told of, since memory ran out.
  if (requests.forks == 0) withdraw_children();
  if (requests.checkpoint || requests.forks != 0) {
    Result<Snapshot> snapshot = record_->actor->freeze(requests.checkpoint.value_or(""));
    if (!snapshot) {
      log(LogLevel::warning,
          fmt::format("Actor {} could not be frozen as it asked: {}", record_->id(), snapshot.error().to_string()));
      for (const auto& child : children_) node_.kill_now(*child, snapshot.error());
    } else {
      if (requests.checkpoint) node_.options.keep_checkpoint(record_->id(), *record_->actor, *snapshot);
      node_.give_birth(children_, *std::move(snapshot));
    }
  }
  deliver();
}

void Turn::deliver() {
  const std::lock_guard lock(node_.mutex);
  for (Letter& letter : letters_) {
    letter.to->mailbox.redeem();
    node_.waiting_bytes -= letter.text.size();
    if (letter.to->ended()) continue;
    Message message{.id = ++node_.last_message, .sender = record_->id(), .text = std::move(letter.text)};
    // There is a thread: this one.
    DW_CHECK(node_.accept(letter.to, std::move(message)));
  }
}

void Turn::withdraw() {
  {
    const std::lock_guard lock(node_.mutex);
    for (const Letter& letter : letters_) {
      letter.to->mailbox.redeem();
      node_.waiting_bytes -= letter.text.size();
    }
  }
  withdraw_children();
}

void Turn::withdraw_children() {
  const Error reason{ErrorCode::cancelled, "The message that asked for it failed.", {}};
  for (const auto& child : children_) node_.forget(*child, reason);
  children_.clear();
}

}  // namespace

bool take_turn(Node::State& node, const std::shared_ptr<ActorRecord>& record) { return Turn(node, record).run(); }

}  // namespace driftwood
