#include "driftwood/actor.hpp"

#include "driftwood/host.hpp"

namespace driftwood::guest {
namespace {

std::uint32_t size_of(std::string_view text) noexcept { return static_cast<std::uint32_t>(text.size()); }

/// A call's result where only its failure says something.
Result<void> done(std::int32_t result) {
  DW_TRY(check(result));
  return {};
}

}  // namespace

Result<std::string> receive() {
  DW_TRY_ASSIGN(const std::int32_t size, check(dw_receive(nullptr, 0)));
  std::string message(static_cast<std::size_t>(size), '\0');
  DW_TRY(check(dw_receive(message.data(), static_cast<std::uint32_t>(size))));
  return message;
}

Result<void> emit(std::string_view piece) { return done(dw_emit(piece.data(), size_of(piece))); }
Result<void> reply(std::string_view answer) { return done(dw_reply(answer.data(), size_of(answer))); }

Result<dw_self_info> self() {
  dw_self_info info{};
  info.size = sizeof info;
  DW_TRY(check(dw_self(&info)));
  return info;
}

Result<void> send(ActorId to, std::string_view message) { return done(dw_send(to, message.data(), size_of(message))); }

Result<void> checkpoint(std::string_view label) { return done(dw_checkpoint(label.data(), size_of(label))); }

Result<std::vector<ActorId>> fork(std::uint32_t count) {
  if (count > DW_MAX_FORKS) {
    return fail(DW_E_INVALID_ARGUMENT, "One fork makes " + std::to_string(DW_MAX_FORKS) + " children at most, not " +
                                           std::to_string(count) + ".");
  }
  std::vector<ActorId> ids(count);
  DW_TRY(check(dw_fork(count, ids.data())));
  return ids;
}

}  // namespace driftwood::guest
