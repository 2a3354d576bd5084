// Which operations an actor admits in which state: the one place that says so.
#pragma once

#include <string_view>

#include "actor/actor.hpp"

namespace driftwood {

enum class ActorOperation {
  send,    ///< hand a reactor a message
  run,     ///< run a command
  freeze,  ///< make a snapshot, or fork
};

/// invalid_argument or, for an actor that has ended, guest_trap, with the state in the sentence.
Result<void> check_admitted(ActorOperation operation, ActorState state, ProgramKind kind);

/// "at_rest", "running", "frozen", "ended".
std::string_view to_string(ActorState state) noexcept;

}  // namespace driftwood
