#include <utility>

#include "embed/snapshot_state.hpp"

namespace driftwood::v1 {

std::chrono::system_clock::time_point time_of(std::int64_t ns_since_1970) {
  using Clock = std::chrono::system_clock;
  return Clock::time_point(std::chrono::duration_cast<Clock::duration>(std::chrono::nanoseconds(ns_since_1970)));
}

Snapshot::State::State(driftwood::Snapshot given) : frozen(std::move(given)) {
  for (const auto& model : frozen.manifest.models) models.push_back({model.name, model.hash});
}

Snapshot::Snapshot(std::shared_ptr<const State> state) noexcept : state_(std::move(state)) {}

const std::string& Snapshot::label() const noexcept { return state_->frozen.manifest.label; }
const std::string& Snapshot::actor() const noexcept { return state_->frozen.manifest.actor; }
const std::string& Snapshot::program_name() const noexcept { return state_->frozen.manifest.program.name; }
const Hash& Snapshot::program_hash() const noexcept { return state_->frozen.manifest.program.hash; }
const std::vector<Snapshot::Model>& Snapshot::models() const noexcept { return state_->models; }
std::chrono::system_clock::time_point Snapshot::created() const noexcept {
  return time_of(state_->frozen.manifest.created_ns);
}
std::optional<SnapshotId> Snapshot::parent() const { return state_->frozen.manifest.parent; }
std::uint32_t Snapshot::fork_index() const noexcept { return state_->frozen.manifest.fork_index; }
std::uint64_t Snapshot::memory_bytes() const noexcept { return state_->frozen.memory->size(); }

}  // namespace driftwood::v1
