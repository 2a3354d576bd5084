// Actors of the guest many.c in a node, and what they need. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "actor/node.hpp"
#include "core/error.hpp"
#include "device/device.hpp"
#include "llm/model_pool.hpp"
#include "model/tokenizer.hpp"

namespace driftwood::bench {

/// What a message says; see guests/many.h.
struct Order {
  std::int32_t verb = 0;
  std::int32_t argument = 0;
  std::vector<Token> tokens = {};
};

/// Called by workers for each token that an actor emits, with the actor's place in a list.
using OnToken = std::function<void(std::size_t actor)>;

class ManyActors {
 public:
  using Clock = std::chrono::steady_clock;

  static Result<std::unique_ptr<ManyActors>> create(const std::filesystem::path& model, int threads,
                                                    NodeOptions node = {});

  Node& node() noexcept { return *node_; }
  /// A new actor with an empty Context.
  Result<ActorId> spawn(std::uint32_t n_ctx);
  /// Sends one order and waits: the token that follows.
  Result<Token> ask(ActorId actor, const Order& order, const OnToken& on_token = {});
  /// Sends one order that has no end, and ends it when `until` returns. `until` begins after the first token.
  Result<void> ask_while(ActorId actor, const Order& order, const OnToken& on_token,
                         const std::function<void()>& until);
  /// Sends each actor its order (or all the only one), waits for all: their tokens; `seconds` from the first message to
  /// the last reply.
  struct All {
    double seconds = 0;
    std::vector<Token> tokens;
  };
  Result<All> ask_all(std::span<const ActorId> actors, std::span<const Order> orders, const OnToken& on_token = {});
  /// What the model's executor has done so far.
  ExecutorStatistics statistics() const { return forward_->statistics(); }
  const Model& model() const noexcept { return forward_->model(); }

 private:
  ManyActors() = default;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<ModelPool> models_;
  std::shared_ptr<Forward> forward_;
  std::shared_ptr<const Program> program_;
  std::unique_ptr<Node> node_;
};

}  // namespace driftwood::bench
