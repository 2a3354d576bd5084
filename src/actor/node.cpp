#include "actor/node.hpp"

#include <fmt/format.h>

#include <future>
#include <utility>

#include "actor/node_state.hpp"
#include "actor/open_files.hpp"
#include "core/log.hpp"
#include "hostcalls/guest_abi.hpp"

namespace driftwood {
namespace {

/// Open files of a process beside its actors' memories: models, folders, streams, snapshots.
constexpr std::uint64_t kOtherFiles = 256;
constexpr std::size_t kMostActors = std::size_t{1} << 20;
constexpr std::size_t kMostThreads = 4096;
constexpr std::size_t kMostMessages = std::size_t{1} << 20;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 40;

Result<void> check_number(const char* name, std::uint64_t value, std::uint64_t most) {
  if (value >= 1 && value <= most) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("A node's {} ({}) is not 1 to {}.", name, value, most));
}

Error killed() { return {ErrorCode::cancelled, "The actor was killed.", {}}; }

/// A message's `done`, and where its thread can be waited for.
struct Awaited {
  std::shared_ptr<std::promise<Result<std::string>>> promise = std::make_shared<std::promise<Result<std::string>>>();

  /// Shares the promise, which it may still use when wait() has returned.
  std::function<void(Result<std::string>)> done() const {
    return [promise = promise](Result<std::string> result) { promise->set_value(std::move(result)); };
  }
  Result<std::string> wait() const { return promise->get_future().get(); }
};

}  // namespace

Node::Node(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Node>> Node::create(NodeOptions options) {
  DW_TRY(check_number("max_actors", options.max_actors, kMostActors));
  DW_TRY(check_number("threads", options.threads, kMostThreads));
  DW_TRY(check_number("mailbox_messages", options.mailbox_messages, kMostMessages));
  DW_TRY(check_number("waiting_bytes", options.waiting_bytes, kMostBytes));
  const std::uint64_t wanted = options.max_actors + kOtherFiles;
  if (const std::uint64_t files = raise_open_files(wanted); files < wanted) {
    log(LogLevel::warning, fmt::format("The system lets this process open {} files, and each actor needs one: {} "
                                       "actors will not fit.",
                                       files, options.max_actors));
  }
  return std::unique_ptr<Node>(new Node(std::make_unique<State>(std::move(options))));
}

Node::~Node() { shutdown(); }

Result<ActorId> Node::spawn(std::shared_ptr<const Program> program, ActorOptions options) {
  if (program->kind() != ProgramKind::reactor) {
    return fail(ErrorCode::invalid_argument,
                "An actor of a node needs a program that exports driftwood_receive; this one does not.");
  }
  return state_->adopt(std::move(program), std::move(options),
                       [](const ActorRecord& record) { return Actor::spawn(record.program, record.options); });
}

Result<ActorId> Node::thaw(std::shared_ptr<const Program> program, const Snapshot& snapshot, ActorOptions options) {
  return state_->adopt(std::move(program), std::move(options),
                       [&](const ActorRecord& record) -> Result<std::unique_ptr<Actor>> {
                         DW_TRY_ASSIGN(Thawed thawed, Actor::thaw(record.program, snapshot, record.options));
                         return std::move(thawed.actor);
                       });
}

Result<MessageId> Node::post(ActorId id, std::string message, MessageHandlers handlers) {
  if (message.size() > DW_MAX_TEXT) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The message has {} bytes; {} are allowed.", message.size(), DW_MAX_TEXT));
  }
  return state_->post(id, {.text = std::move(message), .handlers = std::move(handlers)});
}

Result<std::string> Node::ask(ActorId id, std::string message, std::function<void(std::string_view)> emit) {
  const Awaited reply;
  DW_TRY(post(id, std::move(message), {.emit = std::move(emit), .done = reply.done()}));
  return reply.wait();
}

Result<void> Node::cancel(ActorId id, MessageId message) {
  std::optional<Message> taken;
  {
    const std::lock_guard lock(state_->mutex);
    DW_TRY_ASSIGN(const auto record, state_->find(id));
    if (record->current == message) record->cancelled.store(true, std::memory_order_relaxed);
    taken = record->mailbox.remove(message);
    if (taken) state_->waiting_bytes -= taken->text.size();
  }
  if (!taken) return {};
  if (taken->handlers.done) {
    taken->handlers.done(fail(ErrorCode::cancelled, "The message was cancelled before it was handled."));
  }
  taken.reset();
  state_->settle(1);
  return {};
}

Result<void> Node::kill(ActorId id) {
  std::optional<Remains> remains;
  {
    const std::lock_guard lock(state_->mutex);
    DW_TRY_ASSIGN(const auto record, state_->find(id));
    remains = state_->kill(*record, killed());
  }
  if (remains) state_->bury(std::move(*remains));
  return {};
}

Result<Snapshot> Node::freeze(ActorId id, std::string_view label) {
  Result<Snapshot> snapshot = fail(ErrorCode::internal, "The actor was not frozen.");
  DW_TRY(visit(id, [&](Actor& actor) { snapshot = actor.freeze(label); }));
  return snapshot;
}

Result<void> Node::visit(ActorId id, std::function<void(Actor&)> work) {
  const Awaited visited;
  DW_TRY(
      state_->post(id, {.kind = Message::Kind::work, .work = std::move(work), .handlers = {.done = visited.done()}}));
  DW_TRY(visited.wait());
  return {};
}

Result<std::vector<ActorId>> Node::fork(ActorId id, std::uint32_t count) {
  DW_TRY(check_number("children of one fork", count, DW_MAX_FORKS));
  DW_TRY_ASSIGN(Snapshot snapshot, freeze(id));
  std::vector<std::shared_ptr<ActorRecord>> children;
  {
    const std::lock_guard lock(state_->mutex);
    DW_TRY_ASSIGN(const auto parent, state_->find(id));
    DW_TRY(state_->reserve_children(*parent, count, children));
  }
  state_->give_birth(children, std::move(snapshot));
  std::vector<ActorId> ids;
  for (const auto& child : children) ids.push_back(child->id());
  return ids;
}

Result<void> Node::put_away(ActorId id) {
  const Awaited away;
  DW_TRY(state_->post(id, {.kind = Message::Kind::freeze, .handlers = {.done = away.done()}}));
  DW_TRY(away.wait());
  return {};
}

std::vector<ActorStatus> Node::list() const {
  std::vector<ActorStatus> rows;
  const std::lock_guard lock(state_->mutex);
  for (const auto& record : state_->table.all()) {
    if (record->lives() || record->ended()) rows.push_back(record->status());
  }
  return rows;
}

Result<ActorStatus> Node::status(ActorId id) const {
  const std::lock_guard lock(state_->mutex);
  DW_TRY_ASSIGN(const auto record, state_->find(id));
  return record->status();
}

std::size_t Node::threads() const { return state_->workers.threads(); }

void Node::wait_idle() {
  std::unique_lock lock(state_->mutex);
  state_->became_idle.wait(lock, [this] { return state_->pending == 0; });
}

void Node::shutdown() {
  std::vector<Remains> all;
  {
    const std::lock_guard lock(state_->mutex);
    state_->closing = true;
    for (const auto& record : state_->table.all()) {
      auto remains = state_->kill(*record, {ErrorCode::cancelled, "The node was shut down.", {}});
      if (remains) all.push_back(std::move(*remains));
    }
  }
  for (Remains& remains : all) state_->bury(std::move(remains));
  state_->workers.stop();
}

}  // namespace driftwood
