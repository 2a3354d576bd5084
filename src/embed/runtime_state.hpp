// What a Runtime and its handles share. Internal to src/embed.
//
//   Runtime --+
//   Program --+--> RuntimeState: Engine, Device, ModelPool, Node
//   Actor ----+
//
// It lives as long as one of them. The Runtime's end shuts the Node down, so that its threads are gone and nothing but
// a thread of the user's lets go of the last hold.
#pragma once

#include <driftwood/runtime.hpp>

#include <memory>

#include "actor/node.hpp"
#include "device/device.hpp"
#include "llm/model_pool.hpp"
#include "wasm/engine.hpp"

namespace driftwood::v1 {

struct RuntimeState : std::enable_shared_from_this<RuntimeState> {
  static Result<std::shared_ptr<RuntimeState>> create(RuntimeOptions options);

  Actor handle(ActorId id);
  /// What the layers below take. Refers to this object.
  driftwood::ActorOptions internal(ActorOptions options, const Program& program) const;
  driftwood::NodeOptions node_options(const RuntimeOptions& options);

  // Each uses those before it.
  std::unique_ptr<driftwood::Engine> engine;
  std::unique_ptr<driftwood::Device> device;
  std::unique_ptr<driftwood::ModelPool> models;
  std::unique_ptr<driftwood::Node> node;
};

struct Program::State {
  std::shared_ptr<RuntimeState> runtime;
  std::shared_ptr<const driftwood::Program> program;
  std::string name;
};

}  // namespace driftwood::v1
