// What of an actor goes into a snapshot's manifest, and comes back out of it. Internal to src/actor.
#pragma once

#include <span>
#include <vector>

#include "actor/actor.hpp"
#include "hostcalls/guest_host.hpp"
#include "snapshot/manifest.hpp"

namespace driftwood {

/// What the numbers that `device` computes depend on; empty for none.
NumericsFingerprint numerics_of(const Device* device);

/// The part of a manifest that follows from the options, without what changes while the actor lives.
Manifest describe(const Program& program, const ActorOptions& options);

/// `options` with what belongs to the actor put in from its manifest: arguments, environment, generator and clock,
/// place among a fork's children. not_found: a folder that the actor had and that `options` does not grant.
Result<ActorOptions> options_for(const Manifest& manifest, ActorOptions options);

std::vector<Manifest::ModelReference> to_manifest(std::span<const ModelHandle> handles);
std::vector<ModelHandle> from_manifest(std::span<const Manifest::ModelReference> models);

}  // namespace driftwood
