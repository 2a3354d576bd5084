// Freeze, thaw and fork of one actor. All three are mappings: an actor at rest is its memory, its globals and a
// manifest.
#include <fmt/format.h>

#include <chrono>

#include "actor/actor_manifest.hpp"
#include "actor/actor_state.hpp"
#include "actor/life_cycle.hpp"
#include "hostcalls/guest_abi.hpp"

namespace driftwood {
namespace {

std::int64_t now_ns() {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since_1970).count();
}

Result<void> check_program(const Program& program, const Manifest& manifest) {
  if (program.hash() != manifest.program.hash) {
    return fail(ErrorCode::incompatible,
                fmt::format("The snapshot is of the program {} (SHA-256 {}), and this one has the SHA-256 {}.",
                            manifest.program.name.empty() ? "without a name" : manifest.program.name,
                            manifest.program.hash.to_hex(), program.hash().to_hex()));
  }
  if (manifest.abi_version > DW_ABI_VERSION) {
    return fail(ErrorCode::incompatible,
                fmt::format("The snapshot is of a guest of ABI version {}, and this host knows up to {}.",
                            manifest.abi_version, DW_ABI_VERSION));
  }
  return {};
}

}  // namespace

Result<Snapshot> Actor::freeze(std::string_view label) {
  DW_TRY(check_admitted(ActorOperation::freeze, state(), state_->program->kind()));
  if (!state_->program->freezable()) {
    return fail(ErrorCode::unsupported,
                fmt::format("This program cannot be frozen. {}", state_->program->freeze_obstacle()));
  }
  DW_TRY_ASSIGN(const std::uint32_t files, state_->instance->open_files());
  if (files != 0) {
    return fail(ErrorCode::unavailable,
                fmt::format("The actor cannot be frozen while it has {} open; it can when it has closed {}.",
                            files == 1 ? "a file or folder" : fmt::format("{} files or folders", files),
                            files == 1 ? "it" : "them"));
  }
  if (Device* device = state_->options.host.device; device != nullptr) device->rest();
  // Devices let go of the pages that are mapped anew.
  state_->host.drop_caches();
  Snapshot snapshot;
  DW_TRY_ASSIGN(snapshot.memory, memory().seal());
  Manifest& manifest = snapshot.manifest;
  manifest = describe(*state_->program, state_->options);
  manifest.label = label;
  manifest.created_ns = now_ns();
  manifest.parent = state_->saved;
  manifest.globals = state_->instance->globals();
  manifest.models = to_manifest(state_->host.model_handles());
  if (const auto determinism = state_->instance->determinism()) {
    manifest.determinism = Manifest::Determinism{.seed = determinism->seed,
                                                 .random_position = determinism->random_position,
                                                 .clock_ns = static_cast<std::int64_t>(determinism->clock_ns)};
  }
  return snapshot;
}

Result<Thawed> Actor::thaw(std::shared_ptr<const Program> program, const Snapshot& snapshot, ActorOptions options) {
  const Manifest& manifest = snapshot.manifest;
  DW_TRY(check_program(*program, manifest));
  DW_TRY_ASSIGN(options, options_for(manifest, std::move(options)));
  DW_TRY_ASSIGN(auto memory, Region::create_over(snapshot.memory, linear_memory_options(snapshot.memory->size())));

  auto state = std::make_unique<State>(std::move(options));
  state->program = std::move(program);
  state->saved = manifest.parent;
  DW_TRY(state->host.restore_model_handles(from_manifest(manifest.models)));
  DW_TRY_ASSIGN(state->instance,
                Instance::resume(state->program, {std::move(memory), manifest.globals}, state->instance_options()));
  Thawed thawed;
  thawed.numerics_difference = difference_in_words(manifest.numerics, numerics_of(state->options.host.device));
  thawed.actor.reset(new Actor(std::move(state)));
  return thawed;
}

Result<std::vector<std::unique_ptr<Actor>>> Actor::fork(std::uint32_t count) {
  DW_TRY_ASSIGN(Snapshot snapshot, freeze());
  std::vector<std::unique_ptr<Actor>> children;
  children.reserve(count);
  for (std::uint32_t i = 1; i <= count; ++i) {
    snapshot.manifest.fork_index = i;
    ActorOptions options = state_->options;
    options.host.self = {.id = 0, .parent = state_->options.host.self.id, .fork_index = i};
    DW_TRY_ASSIGN(auto child, thaw(state_->program, snapshot, std::move(options)));
    children.push_back(std::move(child.actor));
  }
  return children;
}

void Actor::set_saved(const Hash& root) { state_->saved = root; }

}  // namespace driftwood
