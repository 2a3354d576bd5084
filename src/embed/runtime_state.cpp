#include "embed/runtime_state.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/cache_folder.hpp"
#include "embed/handler.hpp"
#include "embed/snapshot_state.hpp"

namespace driftwood::v1 {
namespace {

LogLevel log_level(std::uint32_t guests) noexcept {
  return guests < static_cast<std::uint32_t>(LogLevel::error) ? static_cast<LogLevel>(guests) : LogLevel::error;
}

driftwood::WorkerUse worker_use(DeviceWorker given) noexcept {
  switch (given) {
    case DeviceWorker::off: return driftwood::WorkerUse::off;
    case DeviceWorker::on: return driftwood::WorkerUse::on;
    case DeviceWorker::automatic: break;
  }
  return driftwood::WorkerUse::automatic;
}

}  // namespace

Result<std::shared_ptr<RuntimeState>> RuntimeState::create(RuntimeOptions options) {
  if (options.waiting_passes == 0) {
    return driftwood::fail(driftwood::ErrorCode::invalid_argument,
                           "The forward passes that may wait for a model (waiting_passes 0) must be at least 1.");
  }
  auto state = std::make_shared<RuntimeState>();
  driftwood::EngineOptions engine;
  if (options.cache_programs) {
    engine.cache =
        options.program_cache.empty() ? driftwood::cache_folder("modules") : std::optional(options.program_cache);
  }
  DW_TRY_ASSIGN(state->engine, driftwood::Engine::create(engine));
  DW_TRY_ASSIGN(state->device, driftwood::open_device(options.device, {.threads = options.compute_threads,
                                                                       .weights_bytes = options.expected_weights_bytes,
                                                                       .mirror_budget = options.mirror_bytes,
                                                                       .worker = worker_use(options.device_worker)}));
  driftwood::ModelPoolOptions models{
      .weights_budget = options.weights_bytes,
      .strict = options.strict,
      .packed_cache = {},
      .max_waiting = static_cast<std::uint32_t>(std::min<std::size_t>(options.waiting_passes, UINT32_MAX))};
  if (options.cache_weights) {
    models.packed_cache =
        options.weights_cache.empty() ? driftwood::cache_folder("packed").value_or("") : options.weights_cache;
  }
  state->models = std::make_unique<driftwood::ModelPool>(*state->device, std::move(models));
  DW_TRY_ASSIGN(state->node, driftwood::Node::create(state->node_options(options)));
  return state;
}

driftwood::NodeOptions RuntimeState::node_options(const RuntimeOptions& options) {
  driftwood::NodeOptions given{.max_actors = options.max_actors,
                               .threads = options.actor_threads,
                               .mailbox_messages = options.mailbox_messages,
                               .waiting_bytes = options.waiting_bytes,
                               .max_awake = options.max_awake,
                               .awake_bytes = options.awake_bytes};
  if (options.on_checkpoint) {
    given.keep_checkpoint = [this, keep = handler(options.on_checkpoint)](
                                driftwood::ActorId id, driftwood::Actor& actor, const driftwood::Snapshot& frozen) {
      const auto saved = keep(handle(id), Snapshot(std::make_shared<const Snapshot::State>(frozen)));
      if (saved) actor.set_saved(*saved);
    };
  }
  return given;
}

Actor RuntimeState::handle(ActorId id) { return Actor(shared_from_this(), id); }

driftwood::ActorOptions RuntimeState::internal(ActorOptions options, const Program& program) const {
  driftwood::ActorOptions actor;
  actor.name = std::move(options.name);
  actor.program_name = program.name();
  actor.host.device = device.get();
  actor.host.models = models.get();
  actor.host.grants.models = {options.models.begin(), options.models.end()};
  actor.host.grants.peers = {.all = options.all_peers, .listed = {options.peers.begin(), options.peers.end()}};
  actor.host.grants.max_forks = options.max_forks;
  actor.host.priority = static_cast<std::int8_t>(std::clamp(options.priority, -int{kMostPriority}, int{kMostPriority}));
  if (options.on_log) {
    actor.host.log = [log = handler(std::move(options.on_log))](std::uint32_t level, std::string_view line) {
      log(log_level(level), line);
    };
  }
  actor.host.progress = handler(std::move(options.on_progress));
  actor.wasi.arguments = std::move(options.arguments);
  actor.wasi.environment = std::move(options.environment);
  for (FolderGrant& folder : options.folders) {
    actor.wasi.directories.push_back({folder.host.string(), std::move(folder.guest), folder.read_only});
  }
  actor.wasi.inherit_stdin = actor.wasi.inherit_stdout = actor.wasi.inherit_stderr = options.standard_streams;
  if (options.determinism) {
    actor.determinism = driftwood::Determinism{
        .seed = options.determinism->seed, .random_position = 0, .clock_ns = options.determinism->clock_ns};
  }
  actor.limits.memory_bytes = options.memory_bytes;
  actor.limits.run_time = options.run_time;
  return actor;
}

}  // namespace driftwood::v1
