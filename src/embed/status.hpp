// From the layers' enumerations and table rows to the public ones. Internal to src/embed.
#pragma once

#include <driftwood/actor.hpp>
#include <driftwood/device.hpp>
#include <driftwood/program.hpp>

#include "actor/node.hpp"
#include "device/sharing.hpp"
#include "wasm/program.hpp"

namespace driftwood::v1 {

ActorState to_public(driftwood::ActorState state) noexcept;
Sharing to_public(driftwood::Sharing sharing) noexcept;
ProgramKind to_public(driftwood::ProgramKind kind) noexcept;
ActorStatus to_public(driftwood::ActorStatus status);

}  // namespace driftwood::v1
