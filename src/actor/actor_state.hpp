// What an Actor is made of. Internal to src/actor.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "actor/actor.hpp"
#include "core/hash.hpp"

namespace driftwood {

struct Actor::State {
  explicit State(ActorOptions given) : options(std::move(given)), host(host_options(options)) {}
  // The host's hold on linear memory ends before the memory does.
  ~State() {
    host.drop_caches();
    instance.reset();
  }

  static GuestHostOptions host_options(const ActorOptions& options) {
    GuestHostOptions host = options.host;
    host.memory_limit = options.limits.memory_bytes;
    return host;
  }
  /// What its Instance is made with; `host` and its functions are those of this State.
  InstanceOptions instance_options();

  ActorOptions options;
  std::shared_ptr<const Program> program;
  GuestHost host;
  std::unique_ptr<Instance> instance;
  std::atomic<ActorState> state{ActorState::at_rest};
  ActorRequests requests;     ///< of the last handler
  std::optional<Hash> saved;  ///< the snapshot on disk that it went on from
};

}  // namespace driftwood
