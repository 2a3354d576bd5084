// A node whose actors chat over a small random model, each on a device that its test gives it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "chat/protocol.hpp"
#include "llm/model_pool.hpp"
#include "node_fixture.hpp"
#include "support/talker.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood::testing {

/// A device and the models on it.
struct Place {
  std::unique_ptr<Device> device;
  std::unique_ptr<ModelPool> models;
};

class NodeTalkers : public NodeTest {
 protected:
  void SetUp() override {
    RandomModelOptions model = representative_options("llama");
    model.n_embd = 128;
    model.head_dim = 64;
    ASSERT_TRUE(write_random_model(model, folder_.path() / "oak.gguf"));
    make();
  }

  Place place(std::unique_ptr<Device> device) {
    Place made{std::move(device), nullptr};
    made.models = std::make_unique<ModelPool>(*made.device);
    EXPECT_TRUE(made.models->add("oak", folder_.path() / "oak.gguf"));
    return made;
  }

  static ActorOptions on(const Place& place) { return talker_options(*place.device, *place.models); }
  ActorId talker(const Place& place, std::uint64_t seed) {
    const ActorId id = spawn(on(place), DW_TEST_CHAT);
    chat::Settings settings = talker_settings(seed);
    settings.sampling.max_tokens = 8;
    EXPECT_THAT(ask(id, chat::encode(chat::kConfigure, settings)), ::testing::HasSubstr("status"));
    return id;
  }
  /// An actor that a test disturbs, and one like it that it leaves alone; both have had their turn 0.
  struct Pair {
    ActorId actor;
    ActorId undisturbed;
  };
  Pair talkers(const Place& place, const Place& sound, std::uint64_t seed) {
    const Pair pair{talker(place, seed), talker(sound, seed)};
    EXPECT_EQ(say(pair.actor, 0), say(pair.undisturbed, 0));
    return pair;
  }
  /// What the actor says to a turn.
  std::string say(ActorId id, int turn) {
    return text_of(ask(id, chat::encode(chat::kSay, std::string_view("turn " + std::to_string(turn) + " goes on"))));
  }
  static std::string text_of(const std::string& reply) {
    const auto message = chat::decode(reply);
    if (!message) return "not a message: " + reply;
    return std::string(message->verb) + ": " + std::string(message->body);
  }
  /// The actor as it is, on another device; the old one ends.
  ActorId move(ActorId id, const Place& to) {
    const Snapshot snapshot = value_of(node_->freeze(id));
    EXPECT_TRUE(node_->kill(id));
    return value_of(node_->thaw(program(DW_TEST_CHAT), snapshot, on(to)));
  }

  TemporaryFolder folder_;
};

}  // namespace driftwood::testing
