// The talker: an actor of the chat guest over a model named "oak".
#pragma once

#include <cstdint>

#include "actor/actor.hpp"
#include "chat/protocol.hpp"
#include "llm/model_pool.hpp"

namespace driftwood::testing {

/// `models` has "oak".
inline ActorOptions talker_options(Device& device, ModelPool& models) {
  ActorOptions options;
  options.name = "talker";
  options.program_name = "chat.wasm";
  options.host.device = &device;
  options.host.models = &models;
  options.host.grants.models = {"oak"};
  return options;
}

/// Short replies, each drawn by chance.
inline chat::Settings talker_settings(std::uint64_t seed) {
  chat::Settings settings;
  settings.model = "oak";
  settings.n_ctx = 512;
  settings.sampling.temperature = 1.0F;
  settings.sampling.seed = seed;
  settings.sampling.max_tokens = 12;
  return settings;
}

}  // namespace driftwood::testing
