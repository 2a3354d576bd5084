// Freeze, thaw and fork of actors in memory: a run that was frozen goes on as one that never was, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "actor/actor.hpp"
#include "chat/protocol.hpp"
#include "llm/model_pool.hpp"
#include "support/talker.hpp"
#include "support/temporary_folder.hpp"
#include "support/value_of.hpp"
#include "tools/random_model.hpp"
#include "wasm/engine.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// All of an actor at rest.
struct Rest {
  std::vector<std::byte> memory;
  std::vector<WasmValue> globals;
  friend bool operator==(const Rest&, const Rest&) = default;
};

Rest rest_of(Actor& actor) {
  const auto bytes = actor.memory().bytes();
  return {{bytes.begin(), bytes.end()}, actor.instance().globals()};
}

class FreezeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    RandomModelOptions model = representative_options("llama");
    model.n_embd = 128;
    model.head_dim = 32;
    model.type = GGML_TYPE_Q4_0;
    ASSERT_TRUE(write_random_model(model, folder_.path() / "oak.gguf"));
    model.seed = 99;
    ASSERT_TRUE(write_random_model(model, folder_.path() / "other.gguf"));
    models_ = pool_with("oak.gguf");
    program_ = value_of(Program::load(*engine_, DW_TEST_CHAT));
  }

  std::unique_ptr<ModelPool> pool_with(const char* file) {
    auto pool = std::make_unique<ModelPool>(*device_);
    EXPECT_TRUE(pool->add("oak", folder_.path() / file));
    return pool;
  }

  ActorOptions options() const { return talker_options(*device_, *models_); }

  static chat::Settings settings(std::uint64_t seed) {
    chat::Settings settings = talker_settings(seed);
    settings.sampling.repetition_penalty = 1.1F;
    return settings;
  }

  std::unique_ptr<Actor> talker(std::uint64_t seed) {
    auto actor = value_of(Actor::spawn(program_, options()));
    EXPECT_THAT(value_of(actor->send(chat::encode(chat::kConfigure, settings(seed)))), HasSubstr("status"));
    return actor;
  }
  static std::string say(Actor& actor, int turn) {
    const std::string text = std::string("turn ") + std::to_string(turn) + " asks a little more than that";
    const std::string reply = value_of(actor.send(chat::encode(chat::kSay, std::string_view(text))));
    EXPECT_THAT(reply, HasSubstr("answer"));
    return reply;
  }
  std::unique_ptr<Actor> thaw(const Snapshot& snapshot) {
    Thawed thawed = value_of(Actor::thaw(program_, snapshot, options()));
    EXPECT_THAT(thawed.numerics_difference, IsEmpty());
    return std::move(thawed.actor);
  }

  TemporaryFolder folder_;
  std::unique_ptr<Device> device_ = open_device("cpu", {.threads = 1}).value();
  std::unique_ptr<Engine> engine_ = Engine::create({.cache = std::nullopt}).value();
  std::unique_ptr<ModelPool> models_;
  std::shared_ptr<const Program> program_;
};

TEST_F(FreezeTest, RunThatIsFrozenAndThawedAfterEachMessageEqualsOneThatNeverWas) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const auto plain = talker(seed);
    auto moved = talker(seed);
    for (int turn = 0; turn < 6; ++turn) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << ", turn " << turn);
      const Snapshot snapshot = value_of(moved->freeze());
      moved.reset();
      moved = thaw(snapshot);
      ASSERT_EQ(rest_of(*moved), rest_of(*plain)) << "as thawed";
      ASSERT_EQ(say(*moved, turn), say(*plain, turn));
      ASSERT_EQ(rest_of(*moved), rest_of(*plain)) << "after the message";
    }
  }
}

TEST_F(FreezeTest, LongConversationOnSeveralThreadsWithQuantizedRowsIsTheSameFrozenAfterEachMessage) {
  const auto several = open_device("cpu", {.threads = 3}).value();
  ModelPool models(*several);
  ASSERT_TRUE(models.add("oak", folder_.path() / "oak.gguf"));
  const ActorOptions given = talker_options(*several, models);
  chat::Settings settings = FreezeTest::settings(11);
  settings.kv_type = "q8_0";
  settings.n_ctx = 1024;
  const auto plain = value_of(Actor::spawn(program_, given));
  auto moved = value_of(Actor::spawn(program_, given));
  for (Actor* actor : {plain.get(), moved.get()}) {
    ASSERT_THAT(value_of(actor->send(chat::encode(chat::kConfigure, settings))), HasSubstr("status"));
  }
  for (int turn = 0; turn < 20; ++turn) {
    const Snapshot snapshot = value_of(moved->freeze());
    moved.reset();
    moved = value_of(Actor::thaw(program_, snapshot, given)).actor;
    ASSERT_EQ(say(*moved, turn), say(*plain, turn)) << turn;
    ASSERT_EQ(rest_of(*moved), rest_of(*plain)) << turn;
  }
}

TEST_F(FreezeTest, FrozenActorGoesOnAsIfItHadNotBeen) {
  const auto plain = talker(7);
  const auto frozen = talker(7);
  std::vector<std::pair<Snapshot, Rest>> checkpoints;
  for (int turn = 0; turn < 8; ++turn) {
    checkpoints.emplace_back(value_of(frozen->freeze("turn")), rest_of(*plain));
    ASSERT_EQ(say(*frozen, turn), say(*plain, turn));
    ASSERT_EQ(rest_of(*frozen), rest_of(*plain));
  }
  // And every checkpoint is still what it was, whatever was written since.
  for (std::size_t i = 0; i < checkpoints.size(); ++i) {
    EXPECT_EQ(rest_of(*thaw(checkpoints[i].first)), checkpoints[i].second) << "checkpoint " << i;
  }
}

TEST_F(FreezeTest, ForksAreFreshRunsOfTheSameMessages) {
  const auto parent = talker(3);
  say(*parent, 0);
  auto children = value_of(parent->fork(4));
  ASSERT_EQ(children.size(), 4u);
  parent->send(chat::encode(chat::kReset)).value();
  for (std::size_t i = 0; i < children.size(); ++i) {
    const auto fresh = talker(3);
    say(*fresh, 0);
    for (int turn = 0; turn < 3; ++turn) {
      const int other = static_cast<int>(10 * (i + 1)) + turn;
      ASSERT_EQ(say(*children[i], other), say(*fresh, other)) << "child " << i;
    }
    EXPECT_EQ(rest_of(*children[i]), rest_of(*fresh)) << "child " << i;
  }
}

TEST_F(FreezeTest, ForkOfAForkOutlivesItsAncestors) {
  auto actor = talker(4);
  const auto fresh = talker(4);
  for (int turn = 0; turn < 4; ++turn) {
    auto children = value_of(actor->fork(2));
    actor = std::move(children[static_cast<std::size_t>(turn % 2)]);
    ASSERT_EQ(say(*actor, turn), say(*fresh, turn));
  }
  EXPECT_EQ(rest_of(*actor), rest_of(*fresh));
}

TEST_F(FreezeTest, ThawGoesOnAfterTheHostsCachesWereLost) {
  const auto plain = talker(5);
  auto moved = talker(5);
  say(*plain, 0);
  say(*moved, 0);
  const Snapshot snapshot = value_of(moved->freeze());
  moved.reset();
  models_ = pool_with("oak.gguf");  // another process has nothing loaded
  ActorOptions elsewhere = options();
  Thawed thawed = value_of(Actor::thaw(program_, snapshot, elsewhere));
  const std::string expected = value_of(thawed.actor->send(chat::encode(chat::kStats)));
  EXPECT_THAT(expected, HasSubstr("status"));
  EXPECT_THAT(say(*thawed.actor, 1), HasSubstr("answer"));
}

TEST_F(FreezeTest, ModelsTakeTurnsInTheBudgetAndAnActorComesBackWithoutAPrefill) {
  const auto plain = talker(8);
  const std::vector<std::string> expected = {say(*plain, 0), say(*plain, 1)};
  const std::uint64_t one = value_of(models_->open("oak"))->weight_bytes();

  ModelPool small(*device_, {.weights_budget = one + one / 2});
  ASSERT_TRUE(small.add("oak", folder_.path() / "oak.gguf") && small.add("elm", folder_.path() / "other.gguf"));
  const auto loaded = [&] {
    std::string names;
    for (const PooledModel& model : small.list()) names += model.loaded ? model.name : "";
    return names;
  };
  ActorOptions with_both = options();
  with_both.host.models = &small;
  with_both.host.grants.models = {"oak", "elm"};
  auto first = value_of(Actor::spawn(program_, with_both));
  ASSERT_TRUE(first->send(chat::encode(chat::kConfigure, settings(8))));
  EXPECT_EQ(say(*first, 0), expected[0]);
  const Snapshot asleep = value_of(first->freeze());
  first.reset();

  chat::Settings of_elm = settings(8);
  of_elm.model = "elm";
  const auto second = value_of(Actor::spawn(program_, with_both));
  ASSERT_TRUE(second->send(chat::encode(chat::kConfigure, of_elm)));
  EXPECT_NE(say(*second, 0), expected[0]);
  EXPECT_EQ(loaded(), "elm");

  std::vector<std::uint32_t> passes;
  with_both.host.progress = [&](std::uint32_t, std::uint32_t all) { passes.push_back(all); };
  const auto back = value_of(Actor::thaw(program_, asleep, with_both)).actor;
  EXPECT_EQ(say(*back, 1), expected[1]);
  EXPECT_EQ(loaded(), "oak");
  // The first pass is the new turn's alone, not the conversation's.
  ASSERT_FALSE(passes.empty());
  EXPECT_LT(passes.front(), 64u);
  // And the one that lost its weights meanwhile goes on, too.
  EXPECT_THAT(say(*second, 1), HasSubstr("answer"));
  EXPECT_EQ(loaded(), "elm");
}

TEST_F(FreezeTest, ManifestNamesWhatTheActorNeeds) {
  const auto actor = talker(6);
  const Snapshot snapshot = value_of(actor->freeze("before lunch"));
  EXPECT_EQ(snapshot.manifest.label, "before lunch");
  EXPECT_EQ(snapshot.manifest.actor, "talker");
  EXPECT_EQ(snapshot.manifest.program.hash, program_->hash());
  EXPECT_EQ(snapshot.manifest.program.name, "chat.wasm");
  ASSERT_EQ(snapshot.manifest.models.size(), 1u);
  EXPECT_EQ(snapshot.manifest.models[0].handle, 1u);
  EXPECT_EQ(snapshot.manifest.models[0].hash, *models_->known_hash("oak"));
  EXPECT_EQ(snapshot.manifest.numerics.device, "cpu");
  EXPECT_FALSE(snapshot.manifest.numerics.features.empty());
}

TEST_F(FreezeTest, ModelOfAnotherHashIsRefused) {
  const Snapshot snapshot = value_of(talker(1)->freeze());
  models_ = pool_with("other.gguf");
  const auto thawed = Actor::thaw(program_, snapshot, options());
  ASSERT_FALSE(thawed);
  EXPECT_EQ(thawed.error().code, ErrorCode::incompatible);
  EXPECT_THAT(thawed.error().message, HasSubstr("The model \"oak\" is another file"));
  EXPECT_FALSE(models_->list().front().loaded) << "nothing is loaded to find out";
}

TEST_F(FreezeTest, ModelThatIsMissingOrNotGrantedIsNamed) {
  const Snapshot snapshot = value_of(talker(1)->freeze());
  ActorOptions none = options();
  none.host.grants.models = {};
  const auto not_granted = Actor::thaw(program_, snapshot, none);
  ASSERT_FALSE(not_granted);
  EXPECT_THAT(not_granted.error().message, HasSubstr("\"oak\" was not granted"));
  models_ = std::make_unique<ModelPool>(*device_);
  const auto missing = Actor::thaw(program_, snapshot, options());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_THAT(missing.error().message, HasSubstr("runs on the model \"oak\""));
}

TEST_F(FreezeTest, AnotherProgramIsRefused) {
  const Snapshot snapshot = value_of(talker(1)->freeze());
  const auto other = value_of(Program::load(*engine_, DW_TEST_MESSAGES));
  const auto thawed = Actor::thaw(other, snapshot, options());
  ASSERT_FALSE(thawed);
  EXPECT_EQ(thawed.error().code, ErrorCode::incompatible);
  EXPECT_THAT(thawed.error().message, HasSubstr("of the program chat.wasm"));
}

TEST_F(FreezeTest, DifferentNumericsAreToldInWords) {
  Snapshot snapshot = value_of(talker(1)->freeze());
  snapshot.manifest.numerics.features.push_back("a kernel of tomorrow");
  const Thawed thawed = value_of(Actor::thaw(program_, snapshot, options()));
  EXPECT_THAT(thawed.numerics_difference, HasSubstr("a kernel of tomorrow"));
}

TEST_F(FreezeTest, ErrorsOfEarlierMessagesAreForgottenWithOrWithoutAFreeze) {
  const auto program = value_of(Program::load(*engine_, DW_TEST_MESSAGES));
  const auto plain = value_of(Actor::spawn(program, options()));
  EXPECT_THAT(plain->send("pass an error on").error().message, HasSubstr("is not the handle of an open model"));
  const auto thawed = value_of(Actor::thaw(program, value_of(plain->freeze()), options())).actor;
  EXPECT_EQ(value_of(plain->send("last error")), "");
  EXPECT_EQ(value_of(thawed->send("last error")), "");
}

TEST_F(FreezeTest, ActorThatEndedIsNotFrozen) {
  const auto actor = value_of(Actor::spawn(value_of(Program::load(*engine_, DW_TEST_MESSAGES)), options()));
  EXPECT_FALSE(actor->send("trap"));
  const auto snapshot = actor->freeze();
  ASSERT_FALSE(snapshot);
  EXPECT_EQ(snapshot.error().code, ErrorCode::guest_trap);
}

}  // namespace
}  // namespace driftwood
