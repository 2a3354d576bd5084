#include "embed/status.hpp"

#include <utility>

#include "core/error.hpp"

namespace driftwood::v1 {

ActorState to_public(driftwood::ActorState state) noexcept {
  switch (state) {
    case driftwood::ActorState::at_rest: return ActorState::at_rest;
    case driftwood::ActorState::running: return ActorState::running;
    case driftwood::ActorState::frozen: return ActorState::frozen;
    case driftwood::ActorState::ended: return ActorState::ended;
  }
  return ActorState::ended;
}

Sharing to_public(driftwood::Sharing sharing) noexcept {
  switch (sharing) {
    case driftwood::Sharing::same_memory: return Sharing::same_memory;
    case driftwood::Sharing::mapped_over_bus: return Sharing::mapped_over_bus;
    case driftwood::Sharing::copied: return Sharing::copied;
  }
  return Sharing::copied;
}

ProgramKind to_public(driftwood::ProgramKind kind) noexcept {
  switch (kind) {
    case driftwood::ProgramKind::command: return ProgramKind::command;
    case driftwood::ProgramKind::reactor: return ProgramKind::reactor;
    case driftwood::ProgramKind::library: return ProgramKind::library;
  }
  return ProgramKind::library;
}

ActorStatus to_public(driftwood::ActorStatus status) {
  return {.id = status.id,
          .parent = status.parent,
          .name = std::move(status.name),
          .program_name = std::move(status.program_name),
          .program = status.program,
          .state = to_public(status.state),
          .waiting = status.waiting,
          .memory_bytes = status.memory_bytes,
          .ending = std::move(status.ending)};
}

std::string_view to_string(ActorState state) noexcept {
  switch (state) {
    case ActorState::at_rest: return "at_rest";
    case ActorState::running: return "running";
    case ActorState::frozen: return "frozen";
    case ActorState::ended: return "ended";
  }
  return "ended";
}

std::string_view to_string(Sharing sharing) noexcept {
  switch (sharing) {
    case Sharing::same_memory: return "same_memory";
    case Sharing::mapped_over_bus: return "mapped_over_bus";
    case Sharing::copied: return "copied";
  }
  return "copied";
}

}  // namespace driftwood::v1
