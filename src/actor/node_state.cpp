#include "actor/node_state.hpp"

#include <fmt/format.h>

#include <utility>

#include "actor/open_files.hpp"
#include "wasm/engine.hpp"

namespace driftwood {
namespace {

/// Of a worker's stack, for the host calls of a guest.
constexpr std::size_t kHostStackBytes = std::size_t{7} << 20;

Error ended_with(ActorId id, const Error& reason) {
  return {reason.code, fmt::format("Actor {} has ended. {}", id, reason.message), reason.context};
}

/// Where there are many actors, what the system refuses is often the number of files or mappings.
Error with_limits(Error error) {
  if (error.code != ErrorCode::out_of_memory) return error;
  const auto mappings = most_mappings();
  return std::move(error).with_context(fmt::format(
      "while the process may open {} files{}; each actor needs one, two mappings for each piece of memory that it has "
      "from elsewhere, and 4 GiB of address space",
      open_files(), mappings ? fmt::format(" and have {} mappings (vm.max_map_count)", *mappings) : ""));
}

}  // namespace

Node::State::State(NodeOptions given)
    : options(std::move(given)),
      table(options.ended_kept),
      awake({.actors = options.max_awake, .bytes = options.awake_bytes}),
      workers({.limit = options.threads, .stack_bytes = kGuestStackBytes + kHostStackBytes}) {}

Result<std::shared_ptr<ActorRecord>> Node::State::reserve(std::shared_ptr<const Program> program,
                                                          ActorOptions actor_options) {
  if (closing) return fail(ErrorCode::unavailable, "The node is shutting down; it takes no more actors.");
  if (table.living() >= options.max_actors) {
    return fail(ErrorCode::unavailable,
                fmt::format("The node has {} actors, and may have {}.", table.living(), options.max_actors));
  }
  actor_options.host.self.id = ++last_actor;
  auto record = std::make_shared<ActorRecord>(std::move(program), std::move(actor_options), options.mailbox_messages);
  table.insert(record);
  return record;
}

Result<void> Node::State::reserve_children(const ActorRecord& parent, std::uint32_t count,
                                           std::vector<std::shared_ptr<ActorRecord>>& children) {
  if (count > options.max_actors - table.living()) {
    return fail(ErrorCode::unavailable,
                fmt::format("The node has {} actors, and may have {}: there is no room for {} children.",
                            table.living(), options.max_actors, count));
  }
  children.reserve(children.size() + count);
  for (std::uint32_t i = 1; i <= count; ++i) {
    ActorOptions child = parent.options;
    child.host.self = {.id = 0, .parent = parent.id(), .fork_index = i};
    DW_TRY_ASSIGN(auto record, reserve(parent.program, std::move(child)));
    children.push_back(std::move(record));
  }
  return {};
}

Result<std::shared_ptr<ActorRecord>> Node::State::find(ActorId id) const {
  if (auto record = table.find(id)) return record;
  return fail(ErrorCode::not_found, fmt::format("There is no actor {} in this node.", id));
}

Result<void> Node::State::check_room(const ActorRecord& record, std::size_t bytes) const {
  if (record.ended()) return std::unexpected(ended_with(record.id(), *record.ending));
  if (record.mailbox.full()) {
    return fail(ErrorCode::unavailable, fmt::format("The mailbox of actor {} is full: it holds {} messages.",
                                                    record.id(), record.mailbox.bound()));
  }
  if (bytes > options.waiting_bytes - waiting_bytes) {
    return fail(ErrorCode::unavailable,
                fmt::format("The messages that wait in this node have {} bytes; a message of {} would make them more "
                            "than {}.",
                            waiting_bytes, bytes, options.waiting_bytes));
  }
  return {};
}

Result<void> Node::State::accept(const std::shared_ptr<ActorRecord>& record, Message&& message) {
  // The worker that is told so early waits for the lock.
  if (record->lives() && !record->scheduled) DW_TRY(schedule(record));
  waiting_bytes += message.text.size();
  ++pending;
  record->mailbox.push(std::move(message));
  return {};
}

Result<void> Node::State::schedule(const std::shared_ptr<ActorRecord>& record) {
  DW_TRY(workers.run([this, record] { return take_turn(*this, record); }));
  record->scheduled = true;
  awake.stir(record->awake);
  return {};
}

void Node::State::note_awake(ActorRecord& record) {
  awake.add(record.awake, record.actor->memory().size());
  freeze_surplus();
}

void Node::State::note_rest(const std::shared_ptr<ActorRecord>& record) {
  awake.add(record->awake, record->actor->memory().size());
  if (!record->stays_awake) awake.rest(record->awake, record);
  freeze_surplus();
}

void Node::State::freeze_surplus() {
  while (!closing) {
    const auto record = awake.take_surplus();
    if (record == nullptr) return;
    // Without a thread, it stays as it is until there is one for its next message.
    if (!accept(record, {.id = ++last_message, .kind = Message::Kind::freeze})) return;
  }
}

Remains Node::State::end(ActorRecord& record, Error reason) {
  Remains remains{record.id(), std::move(record.actor), std::exchange(record.frozen, std::nullopt),
                  record.mailbox.take_all(), reason};
  awake.remove(record.awake);
  for (const Message& message : remains.waiting) waiting_bytes -= message.text.size();
  record.current = 0;
  record.ending = std::move(reason);
  table.retire(record);
  return remains;
}

std::optional<Remains> Node::State::kill(ActorRecord& record, Error reason) {
  if (record.ended()) return std::nullopt;
  if (record.current == 0) return end(record, std::move(reason));
  if (!record.killed) record.killed = std::move(reason);
  record.cancelled.store(true, std::memory_order_relaxed);
  // While it is thawed, it is told so when it is there.
  if (record.actor != nullptr) record.actor->kill();
  return std::nullopt;
}

Result<ActorId> Node::State::adopt(std::shared_ptr<const Program> program, ActorOptions actor_options,
                                   const std::function<Result<std::unique_ptr<Actor>>(const ActorRecord&)>& make) {
  std::shared_ptr<ActorRecord> record;
  {
    const std::lock_guard lock(mutex);
    DW_TRY_ASSIGN(record, reserve(std::move(program), std::move(actor_options)));
  }
  auto made = make(*record);
  Result<void> born;
  if (!made) {
    born = std::unexpected(with_limits(std::move(made).error()));
  } else {
    born = give_birth(record, *std::move(made));
  }
  if (born) return record->id();
  forget(*record, born.error());
  return std::unexpected(std::move(born).error());
}

Result<MessageId> Node::State::post(ActorId id, Message message) {
  const std::lock_guard lock(mutex);
  DW_TRY_ASSIGN(const auto record, find(id));
  DW_TRY(check_room(*record, message.text.size()));
  const MessageId number = message.id = ++last_message;
  DW_TRY(accept(record, std::move(message)));
  return number;
}

Result<void> Node::State::give_birth(const std::shared_ptr<ActorRecord>& record, std::unique_ptr<Actor> actor) {
  const bool tell = record->options.host.self.fork_index != 0 && actor->hears_of_forks();
  const std::lock_guard lock(mutex);
  if (record->ended()) return std::unexpected(*record->ending);
  if (tell) {
    record->mailbox.push_first({.id = ++last_message, .kind = Message::Kind::forked});
    ++pending;
  }
  record->actor = std::move(actor);
  if (record->mailbox.empty()) {
    note_rest(record);
    return {};
  }
  note_awake(*record);
  return schedule(record);
}

void Node::State::give_birth(std::span<const std::shared_ptr<ActorRecord>> children, Snapshot snapshot) {
  snapshot.manifest.label.clear();
  for (const auto& child : children) {
    snapshot.manifest.fork_index = child->options.host.self.fork_index;
    auto thawed = Actor::thaw(child->program, snapshot, child->options);
    Result<void> born;
    if (!thawed) {
      born = std::unexpected(with_limits(std::move(thawed).error()));
    } else {
      born = give_birth(child, std::move(thawed->actor));
    }
    if (!born) kill_now(*child, std::move(born).error());
  }
}

void Node::State::kill_now(ActorRecord& record, Error reason) {
  std::optional<Remains> remains;
  {
    const std::lock_guard lock(mutex);
    remains = kill(record, std::move(reason));
  }
  if (remains) bury(std::move(*remains));
}

void Node::State::forget(ActorRecord& record, Error reason) {
  Remains remains;
  {
    const std::lock_guard lock(mutex);
    if (!record.ended()) remains = end(record, std::move(reason));
    table.erase(record.id());
  }
  bury(std::move(remains));
}

void Node::State::bury(Remains remains) {
  remains.actor.reset();
  remains.frozen.reset();
  const std::size_t messages = remains.waiting.size();
  for (Message& message : remains.waiting) {
    if (message.handlers.done) message.handlers.done(std::unexpected(ended_with(remains.id, remains.reason)));
  }
  remains.waiting.clear();
  if (messages != 0) settle(messages);
}

void Node::State::settle(std::size_t messages) {
  const std::lock_guard lock(mutex);
  pending -= messages;
  if (pending == 0) became_idle.notify_all();
}

}  // namespace driftwood
