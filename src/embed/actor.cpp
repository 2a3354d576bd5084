#include <driftwood/actor.hpp>

#include <utility>

#include "embed/handler.hpp"
#include "embed/runtime_state.hpp"
#include "embed/snapshot_state.hpp"
#include "embed/status.hpp"
#include "embed/store_state.hpp"

namespace driftwood::v1 {

Actor::Actor(std::shared_ptr<RuntimeState> runtime, ActorId id) noexcept : runtime_(std::move(runtime)), id_(id) {}

ActorId Actor::id() const noexcept { return id_; }

Result<ActorStatus> Actor::status() const {
  DW_TRY_ASSIGN(auto status, runtime_->node->status(id_));
  return to_public(std::move(status));
}

Result<std::string> Actor::ask(std::string message, std::function<void(std::string_view)> emit) const {
  DW_TRY(refuse_in_handler("ask()"));
  return runtime_->node->ask(id_, std::move(message), handler(std::move(emit)));
}

Result<MessageId> Actor::post(std::string message, MessageHandlers handlers) const {
  return runtime_->node->post(id_, std::move(message),
                              {.emit = handler(std::move(handlers.emit)), .done = handler(std::move(handlers.done))});
}

Result<void> Actor::cancel(MessageId message) const { return runtime_->node->cancel(id_, message); }

Result<void> Actor::kill() const { return runtime_->node->kill(id_); }

Result<Snapshot> Actor::freeze(std::string_view label) const {
  DW_TRY(refuse_in_handler("freeze()"));
  DW_TRY_ASSIGN(auto frozen, runtime_->node->freeze(id_, label));
  return Snapshot(std::make_shared<const Snapshot::State>(std::move(frozen)));
}

Result<SnapshotId> Actor::save(Store& store, std::string_view label) const {
  DW_TRY_ASSIGN(const Snapshot snapshot, freeze(label));
  DW_TRY_ASSIGN(const SnapshotId id, store.save(snapshot));
  // Saved it is, whatever has become of the actor since.
  static_cast<void>(runtime_->node->visit(id_, [&](driftwood::Actor& actor) { actor.set_saved(id); }));
  return id;
}

Result<std::vector<Actor>> Actor::fork(std::uint32_t count) const {
  DW_TRY(refuse_in_handler("fork()"));
  DW_TRY_ASSIGN(const auto ids, runtime_->node->fork(id_, count));
  std::vector<Actor> children;
  children.reserve(ids.size());
  for (const ActorId id : ids) children.push_back(runtime_->handle(id));
  return children;
}

}  // namespace driftwood::v1
