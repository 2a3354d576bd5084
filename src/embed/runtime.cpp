#include <driftwood/runtime.hpp>

#include <utility>

#include "actor/actor_manifest.hpp"
#include "embed/runtime_state.hpp"
#include "embed/snapshot_state.hpp"
#include "embed/status.hpp"
#include "snapshot/numerics.hpp"

namespace driftwood::v1 {
namespace {

/// What the layers below check or keep no bounds for.
Result<void> check(const ActorOptions& options) {
  constexpr std::size_t kMost = std::size_t{4} << 30;
  if (options.memory_bytes < 65536 || options.memory_bytes > kMost) {
    return fail(ErrorCode::invalid_argument, "The actor's linear memory (" + std::to_string(options.memory_bytes) +
                                                 " bytes) is not between 65536 and " + std::to_string(kMost) + ".");
  }
  if (options.run_time.count() < 0) {
    return fail(ErrorCode::invalid_argument,
                "The actor's run time (" + std::to_string(options.run_time.count()) + " ms) is negative.");
  }
  return {};
}

Result<void> check_mine(const std::shared_ptr<RuntimeState>& mine, const std::shared_ptr<RuntimeState>& its) {
  if (mine == its) return {};
  return fail(ErrorCode::invalid_argument, "The program was compiled by another Runtime; load it with this one.");
}

}  // namespace

Runtime::Runtime(std::shared_ptr<RuntimeState> state) noexcept : state_(std::move(state)) {}
Runtime::Runtime(Runtime&&) noexcept = default;

Runtime& Runtime::operator=(Runtime&& other) noexcept {
  if (state_ != nullptr && this != &other) shutdown();
  state_ = std::move(other.state_);
  return *this;
}

Runtime::~Runtime() {
  if (state_ != nullptr) shutdown();
}

Result<Runtime> Runtime::create(RuntimeOptions options) {
  DW_TRY_ASSIGN(auto state, RuntimeState::create(std::move(options)));
  return Runtime(std::move(state));
}

DeviceInfo Runtime::device() const {
  const driftwood::DeviceInfo& info = state_->device->info();
  return {.name = info.name,
          .description = info.description,
          .memory_bytes = info.memory_total,
          .threads = info.threads,
          .sharing = to_public(info.capabilities.import_sharing),
          .in_worker = info.in_worker};
}

std::vector<std::string> device_names() { return driftwood::device_names(); }

Result<void> Runtime::add_model(std::string name, std::filesystem::path path) {
  return state_->models->add(std::move(name), std::move(path));
}

Result<void> Runtime::load_model(std::string_view name, const std::function<void(double)>& progress) {
  DW_TRY(state_->models->open(name, progress));
  return {};
}

std::vector<ModelInfo> Runtime::models() const {
  std::vector<ModelInfo> infos;
  for (const driftwood::PooledModel& model : state_->models->list()) {
    infos.push_back({.name = model.name, .path = model.path, .loaded = model.loaded, .bytes = model.bytes});
  }
  return infos;
}

Result<Program> Runtime::load_program(const std::filesystem::path& path, const ProgramOptions& options) {
  DW_TRY_ASSIGN(auto program, driftwood::Program::load(*state_->engine, path, {.freezable = options.freezable}));
  return Program(
      std::make_shared<const Program::State>(Program::State{state_, std::move(program), path.filename().string()}));
}

Result<Program> Runtime::compile_program(std::span<const std::byte> module, const ProgramOptions& options) {
  DW_TRY_ASSIGN(auto program, driftwood::Program::compile(*state_->engine, module, {.freezable = options.freezable}));
  return Program(std::make_shared<const Program::State>(Program::State{state_, std::move(program), {}}));
}

Result<Actor> Runtime::spawn(const Program& program, ActorOptions options) {
  DW_TRY(check(options));
  DW_TRY(check_mine(state_, program.state_->runtime));
  DW_TRY_ASSIGN(const ActorId id,
                state_->node->spawn(program.state_->program, state_->internal(std::move(options), program)));
  return state_->handle(id);
}

Result<Actor> Runtime::thaw(const Program& program, const Snapshot& snapshot, ActorOptions options) {
  DW_TRY(check(options));
  DW_TRY(check_mine(state_, program.state_->runtime));
  DW_TRY_ASSIGN(const ActorId id, state_->node->thaw(program.state_->program, snapshot.state_->frozen,
                                                     state_->internal(std::move(options), program)));
  return state_->handle(id);
}

std::string Runtime::numerics_difference(const Snapshot& snapshot) const {
  return difference_in_words(snapshot.state_->frozen.manifest.numerics, numerics_of(state_->device.get()));
}

Result<int> Runtime::run(const Program& program, ActorOptions options) {
  DW_TRY(check(options));
  DW_TRY(check_mine(state_, program.state_->runtime));
  if (program.kind() != ProgramKind::command) {
    return fail(ErrorCode::invalid_argument,
                "The program does not export _start, so it is no command that can be run.");
  }
  DW_TRY_ASSIGN(const auto actor,
                driftwood::Actor::spawn(program.state_->program, state_->internal(std::move(options), program)));
  return actor->run();
}

Result<Actor> Runtime::find(ActorId id) const {
  DW_TRY(state_->node->status(id));
  return state_->handle(id);
}

std::vector<ActorStatus> Runtime::actors() const {
  std::vector<ActorStatus> rows;
  for (driftwood::ActorStatus& row : state_->node->list()) rows.push_back(to_public(std::move(row)));
  return rows;
}

void Runtime::wait_idle() { state_->node->wait_idle(); }

void Runtime::shutdown() { state_->node->shutdown(); }

}  // namespace driftwood::v1
