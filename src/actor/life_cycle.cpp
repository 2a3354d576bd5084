#include "actor/life_cycle.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace driftwood {
namespace {

struct Admission {
  ActorOperation operation;
  const char* name;
  ActorState state;  ///< the one state that it begins in
  ProgramKind kind;
  const char* needs;
};

constexpr Admission kAdmissions[] = {
    {ActorOperation::send, "send", ActorState::at_rest, ProgramKind::reactor,
     "a reactor, which exports driftwood_receive"},
    {ActorOperation::freeze, "freeze", ActorState::at_rest, ProgramKind::reactor,
     "a reactor, which exports driftwood_receive and is at rest between messages"},
    {ActorOperation::run, "run", ActorState::at_rest, ProgramKind::command, "a command, which exports _start"},
};

}  // namespace

std::string_view to_string(ActorState state) noexcept {
  switch (state) {
    case ActorState::at_rest: return "at_rest";
    case ActorState::running: return "running";
    case ActorState::frozen: return "frozen";
    case ActorState::ended: return "ended";
  }
  return "ended";
}

Result<void> check_admitted(ActorOperation operation, ActorState state, ProgramKind kind) {
  const Admission& admission = *std::find_if(std::begin(kAdmissions), std::end(kAdmissions),
                                             [&](const Admission& entry) { return entry.operation == operation; });
  if (kind != admission.kind) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The operation \"{}\" needs {}; this program is none.", admission.name, admission.needs));
  }
  if (state == admission.state) return {};
  const ErrorCode code = state == ActorState::ended ? ErrorCode::guest_trap : ErrorCode::invalid_argument;
  return fail(code, fmt::format("The operation \"{}\" needs an actor that is {}; this one is {}.", admission.name,
                                to_string(admission.state), to_string(state)));
}

}  // namespace driftwood
