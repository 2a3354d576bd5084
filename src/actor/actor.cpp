#include "actor/actor.hpp"

#include <fmt/format.h>

#include <utility>

#include "actor/actor_state.hpp"
#include "actor/life_cycle.hpp"

namespace driftwood {

namespace {

constexpr std::string_view kReceive = "driftwood_receive";
constexpr std::string_view kForked = "driftwood_forked";

// What a reactor's handler returned: 0, an error of its own (> 0), or one of the guest ABI passed on.
Result<void> handler_result(std::int32_t value, std::string_view last_error) {
  if (value == 0) return {};
  if (value == guest_errno(ErrorCode::cancelled)) {
    return fail(ErrorCode::cancelled, "The message was cancelled before its handler had finished.");
  }
  std::string sentence = fmt::format("The program's handler returned the error {}.", value);
  if (value < 0 && !last_error.empty()) sentence += fmt::format(" Its last failed call said: {}", last_error);
  return fail(ErrorCode::unavailable, std::move(sentence));
}

}  // namespace

Actor::Actor(std::unique_ptr<State> state) : state_(std::move(state)) {}
Actor::~Actor() = default;

Result<std::unique_ptr<Actor>> Actor::spawn(std::shared_ptr<const Program> program, ActorOptions options) {
  auto state = std::make_unique<State>(std::move(options));
  state->program = std::move(program);
  DW_TRY_ASSIGN(state->instance, Instance::create(state->program, state->instance_options()));
  return std::unique_ptr<Actor>(new Actor(std::move(state)));
}

InstanceOptions Actor::State::instance_options() {
  InstanceOptions made;
  made.functions = guest_abi_functions();
  made.host = &host;
  made.wasi = options.wasi;
  made.determinism = options.determinism;
  made.limits = options.limits;
  made.on_memory = [this](Region& memory) { host.attach(memory); };
  return made;
}

ActorState Actor::state() const noexcept { return state_->state.load(std::memory_order_acquire); }

Result<void> Actor::run_handler(std::string_view name, std::span<const std::int32_t> arguments,
                                MessageChannel channel) {
  DW_TRY(check_admitted(ActorOperation::send, state(), state_->program->kind()));
  state_->requests = {};
  state_->host.set_cancelled(false);
  state_->host.set_channel(std::move(channel));
  state_->state.store(ActorState::running, std::memory_order_release);
  const Result<std::int32_t> value = state_->instance->call(name, arguments);
  ActorRequests requests = state_->host.take_requests();
  Result<void> handled = value ? handler_result(*value, state_->host.last_error()) : std::unexpected(value.error());
  state_->host.set_channel({});
  // A call that did not return left the guest's stack and memory as they were in its middle.
  state_->state.store(value ? ActorState::at_rest : ActorState::ended, std::memory_order_release);
  DW_TRY(handled);
  state_->requests = std::move(requests);
  return {};
}

Result<std::string> Actor::handle(MessageChannel channel) {
  std::string reply;
  if (!channel.emit) channel.emit = [](std::string_view) {};
  channel.reply = [&reply](std::string_view answer) { reply = answer; };
  DW_TRY(run_handler(kReceive, {}, std::move(channel)));
  return reply;
}

Result<std::string> Actor::send(std::string_view message, const std::function<void(std::string_view)>& emit) {
  return handle({.message = message, .emit = emit});
}

bool Actor::hears_of_forks() const { return state_->instance->has_export(kForked); }

Result<void> Actor::tell_forked(std::uint32_t fork_index, MessageChannel channel) {
  channel.message = {};
  channel.emit = {};
  channel.reply = {};
  const auto argument = static_cast<std::int32_t>(fork_index);
  return run_handler(kForked, {&argument, 1}, std::move(channel));
}

ActorRequests Actor::take_requests() noexcept { return std::exchange(state_->requests, {}); }

Result<int> Actor::run() {
  DW_TRY(check_admitted(ActorOperation::run, state(), state_->program->kind()));
  state_->host.set_cancelled(false);
  state_->state.store(ActorState::running, std::memory_order_release);
  Result<int> status = state_->instance->run_command();
  state_->state.store(ActorState::ended, std::memory_order_release);
  return status;
}

void Actor::cancel() noexcept { state_->host.set_cancelled(true); }

void Actor::kill() noexcept {
  state_->host.set_cancelled(true);
  state_->instance->stop();
}

Region& Actor::memory() noexcept { return state_->instance->memory(); }
Instance& Actor::instance() noexcept { return *state_->instance; }

}  // namespace driftwood
