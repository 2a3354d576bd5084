#include "hostcalls/call.hpp"

namespace driftwood {
namespace {

std::unexpected<Error> no_message(const char* call) {
  return fail(ErrorCode::unavailable, std::string(call) + " works while a message is being handled only, and none is.");
}

Result<std::int32_t> receive(GuestHost::State& state, Arguments arguments) {
  if (!state.channel.reply && !state.channel.emit) return no_message("dw_receive");
  return state.memory().give<char>({"dw_receive", "buffer"}, arguments.u32(0), arguments.u32(1), state.channel.message);
}

Result<std::int32_t> emit(GuestHost::State& state, Arguments arguments) {
  if (!state.channel.emit) return no_message("dw_emit");
  DW_TRY_ASSIGN(const std::string_view piece,
                state.memory().text({"dw_emit", "bytes"}, arguments.u32(0), arguments.u32(1), DW_MAX_TEXT));
  if (state.cancelled.load(std::memory_order_relaxed)) {
    return fail(ErrorCode::cancelled, "The answer was cancelled; nobody waits for the rest of it.");
  }
  state.channel.emit(piece);
  return DW_OK;
}

Result<std::int32_t> reply(GuestHost::State& state, Arguments arguments) {
  if (!state.channel.reply) return no_message("dw_reply");
  DW_TRY_ASSIGN(const std::string_view answer,
                state.memory().text({"dw_reply", "bytes"}, arguments.u32(0), arguments.u32(1), DW_MAX_TEXT));
  if (state.replied) {
    return fail(ErrorCode::invalid_argument, "dw_reply was called twice for one message; it takes one answer.");
  }
  state.channel.reply(answer);
  state.replied = true;
  return DW_OK;
}

constexpr HostFunction kFunctions[] = {
    guest_function<receive>("receive", "ii"),
    guest_function<emit>("emit", "ii"),
    guest_function<reply>("reply", "ii"),
};

}  // namespace

std::span<const HostFunction> actor_functions() { return kFunctions; }

}  // namespace driftwood
