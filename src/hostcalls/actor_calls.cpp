#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "hostcalls/call.hpp"
#include "model/text_guard.hpp"

namespace driftwood {
namespace {

std::unexpected<Error> no_message(const char* call) {
  return fail(ErrorCode::unavailable, std::string(call) + " works while a message is being handled only, and none is.");
}

std::unexpected<Error> no_node(const char* call) {
  return fail(ErrorCode::unavailable, std::string(call) +
                                          " works for an actor of a node only, while it handles a message; this "
                                          "program runs alone, or handles none.");
}

std::unexpected<Error> twice(const char* call, const char* takes) {
  return fail(ErrorCode::invalid_argument,
              fmt::format("{} was called twice for one message; it takes {}.", call, takes));
}

Result<std::int32_t> receive(GuestHost::State& state, Arguments arguments) {
  if (!state.channel.reply && !state.channel.emit) return no_message("dw_receive");
  return state.memory().give<char>({"dw_receive", "buffer"}, arguments.u32(0), arguments.u32(1), state.channel.message);
}

Result<std::int32_t> emit(GuestHost::State& state, Arguments arguments) {
  if (!state.channel.emit) return no_message("dw_emit");
  DW_TRY_ASSIGN(const std::string_view piece,
                state.memory().text({"dw_emit", "bytes"}, arguments.u32(0), arguments.u32(1), DW_MAX_TEXT));
  if (state.cancel_flag().load(std::memory_order_relaxed)) {
    return fail(ErrorCode::cancelled, "The answer was cancelled; nobody waits for the rest of it.");
  }
  state.channel.emit(piece);
  return DW_OK;
}

Result<std::int32_t> reply(GuestHost::State& state, Arguments arguments) {
  if (!state.channel.reply) return no_message("dw_reply");
  DW_TRY_ASSIGN(const std::string_view answer,
                state.memory().text({"dw_reply", "bytes"}, arguments.u32(0), arguments.u32(1), DW_MAX_TEXT));
  if (state.replied) return twice("dw_reply", "one answer");
  state.channel.reply(answer);
  state.replied = true;
  return DW_OK;
}

Result<std::int32_t> self(GuestHost::State& state, Arguments arguments) {
  const Argument out{"dw_self", "out"};
  const GuestMemory memory = state.memory();
  DW_TRY(memory.read_sized<dw_self_info>(out, arguments.u32(0)));
  const ActorIdentity& who = state.options.self;
  const dw_self_info told{.size = sizeof(dw_self_info),
                          .fork_index = who.fork_index,
                          .id = who.id,
                          .parent = who.parent,
                          .sender = state.channel.sender};
  DW_TRY(memory.write(out, arguments.u32(0), told));
  return DW_OK;
}

Result<std::int32_t> send(GuestHost::State& state, Arguments arguments) {
  const ActorId to = arguments.u64(0);
  DW_TRY_ASSIGN(const std::string_view message,
                state.memory().text({"dw_send", "bytes"}, arguments.u32(1), arguments.u32(2), DW_MAX_TEXT));
  if (!state.channel.send) return no_node("dw_send");
  DW_TRY(state.channel.send(to, message));
  return DW_OK;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

Result<std::int32_t> checkpoint(GuestHost::State& state, Arguments arguments) {
  DW_TRY_ASSIGN(const std::string_view label,
                state.memory().text({"dw_checkpoint", "label"}, arguments.u32(0), arguments.u32(1), DW_LABEL_MAX));
  if (label.empty() || std::ranges::any_of(label, is_control) || replace_invalid_utf8(label)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The argument \"label\" of dw_checkpoint ({} bytes) is empty, has control characters or is "
                            "not UTF-8.",
                            label.size()));
  }
  if (!state.channel.keeps_checkpoints) {
    return fail(ErrorCode::unavailable, "Nobody keeps checkpoints of this program, or it handles no message.");
  }
  if (state.requests.checkpoint) return twice("dw_checkpoint", "one label");
  state.requests.checkpoint = label;
  return DW_OK;
}

Result<std::int32_t> fork(GuestHost::State& state, Arguments arguments) {
  const std::uint32_t count = arguments.u32(0);
  const std::uint32_t granted = std::min<std::uint32_t>(state.options.grants.max_forks, DW_MAX_FORKS);
  if (granted == 0) return fail(ErrorCode::not_found, "Forks were not granted to this program.");
  if (count == 0 || count > granted) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The argument \"count\" of dw_fork ({}) is not 1 to {}, as granted.", count, granted));
  }
  DW_TRY_ASSIGN(const std::span<std::uint64_t> ids,
                state.memory().array<std::uint64_t>({"dw_fork", "ids"}, arguments.u32(1), count));
  if (!state.channel.reserve_children) return no_node("dw_fork");
  if (state.requests.forks != 0) return twice("dw_fork", "all children at once");
  DW_TRY_ASSIGN(const ActorId first, state.channel.reserve_children(count));
  state.requests.forks = count;
  state.requests.first_child = first;
  std::iota(ids.begin(), ids.end(), first);
  return DW_OK;
}

constexpr HostFunction kFunctions[] = {
    guest_function<receive>("receive", "ii"), guest_function<emit>("emit", "ii"),
    guest_function<reply>("reply", "ii"),     guest_function<self>("self", "i"),
    guest_function<send>("send", "Iii"),      guest_function<checkpoint>("checkpoint", "ii"),
    guest_function<fork>("fork", "ii"),
};

}  // namespace

std::span<const HostFunction> actor_functions() { return kFunctions; }

}  // namespace driftwood
