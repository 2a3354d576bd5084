// Actors that change devices: frozen in a node on one, thawed in a node on another, and back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "chat/protocol.hpp"
#include "device/null/null_device.hpp"
#include "llm/model_pool.hpp"
#include "node_fixture.hpp"
#include "support/talker.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_name.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;
using ::testing::HasSubstr;

std::vector<std::string> other_devices() {
  std::vector<std::string> names = device_names();
  std::erase(names, "cpu");
  return names;
}

/// A node on a device of its own.
struct Host {
  std::unique_ptr<Device> device;
  std::unique_ptr<ModelPool> models;
  std::unique_ptr<Node> node;

  Host(std::string_view name, const std::filesystem::path& model)
      : device(value_of(open_device(name, {.threads = 1}))), models(std::make_unique<ModelPool>(*device)) {
    EXPECT_TRUE(models->add("oak", model));
    node = value_of(Node::create());
  }

  ActorOptions options() const { return talker_options(*device, *models); }
  chat::Message ask(ActorId id, std::string message) const {
    const std::string reply = value_of(node->ask(id, std::move(message)));
    const auto decoded = chat::decode(reply);
    if (!decoded) throw std::runtime_error(decoded.error());
    return *decoded;
  }
  chat::Message say(ActorId id, std::string_view text) const { return ask(id, chat::encode(chat::kSay, text)); }
  std::vector<std::byte> memory(ActorId id) const {
    std::vector<std::byte> bytes;
    EXPECT_TRUE(node->visit(id, [&](Actor& actor) {
      const auto all = actor.memory().bytes();
      bytes.assign(all.begin(), all.end());
    }));
    return bytes;
  }
};

class NodeMoves : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    RandomModelOptions model = representative_options("llama");
    model.n_embd = 128;
    model.head_dim = 64;
    model.type = GGML_TYPE_Q4_0;
    ASSERT_TRUE(write_random_model(model, path_));
    cpu_ = std::make_unique<Host>("cpu", path_);
    other_ = std::make_unique<Host>(GetParam(), path_);
  }

  chat::Message configure(const Host& host, ActorId id, std::string kv_type = "f16") const {
    chat::Settings settings = talker_settings(7);
    settings.kv_type = std::move(kv_type);
    settings.sampling.max_tokens = 6;
    return host.ask(id, chat::encode(chat::kConfigure, settings));
  }
  ActorId talker(const Host& host) {
    const ActorId id = value_of(host.node->spawn(program_, host.options()));
    EXPECT_EQ(configure(host, id).verb, chat::kStatus);
    return id;
  }
  Snapshot freeze(const Host& host, ActorId id) { return value_of(host.node->freeze(id)); }
  ActorId thaw(const Host& host, const Snapshot& snapshot) {
    return value_of(host.node->thaw(program_, snapshot, host.options()));
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "oak.gguf";
  std::unique_ptr<Engine> engine_ = value_of(Engine::create({.cache = std::nullopt}));
  std::shared_ptr<const Program> program_ = value_of(Program::load(*engine_, DW_TEST_CHAT));
  std::unique_ptr<Host> cpu_;
  std::unique_ptr<Host> other_;
};

TEST_P(NodeMoves, TheConversationGoesOnThereAndComesBack) {
  const ActorId first = talker(*cpu_);
  std::vector<std::string> answered;  // a question whose answer has no text is not kept
  const auto say = [&](const Host& host, ActorId id, const std::string& text) {
    const chat::Message answer = host.say(id, text);
    EXPECT_EQ(answer.verb, chat::kAnswer) << answer.body;
    if (!answer.body.empty()) answered.push_back(text);
    return answer;
  };
  say(*cpu_, first, "one thing to begin with");

  const ActorId there = thaw(*other_, freeze(*cpu_, first));
  EXPECT_EQ(other_->memory(there), cpu_->memory(first)) << "a thaw changes no byte";
  const auto fields = chat::read_fields<chat::Answer>(say(*other_, there, "and another one"));
  ASSERT_TRUE(fields);
  EXPECT_GT(fields->generated_tokens, 0U);
  EXPECT_LT(fields->prompt_tokens, 60U) << "the turn before was computed again";

  const ActorId back = thaw(*cpu_, freeze(*other_, there));
  EXPECT_EQ(cpu_->memory(back), other_->memory(there));
  say(*cpu_, back, "and home again");
  const chat::Message transcript = cpu_->ask(back, chat::encode(chat::Message{std::string(chat::kTranscript), {}, {}}));
  std::vector<std::string> asked;
  for (const auto& [role, text] : transcript.fields) {
    if (role == "user") asked.push_back(text);
  }
  EXPECT_EQ(asked, answered);
}

TEST_P(NodeMoves, WhoOnlyPassesThroughIsTheSameOnTheDeviceItCameFrom) {
  for (const auto& [home, away] : {std::pair(cpu_.get(), other_.get()), std::pair(other_.get(), cpu_.get())}) {
    const ActorId stays = talker(*home);
    const ActorId travels = talker(*home);
    EXPECT_EQ(home->say(stays, "hello").body, home->say(travels, "hello").body);
    const ActorId back = thaw(*home, freeze(*away, thaw(*away, freeze(*home, travels))));
    EXPECT_EQ(home->say(stays, "still there?").body, home->say(back, "still there?").body);
    EXPECT_EQ(home->memory(stays), home->memory(back));
  }
}

TEST_P(NodeMoves, TheThawSaysThatAnotherDeviceComputesFromNowOn) {
  const ActorId id = talker(*cpu_);
  EXPECT_EQ(cpu_->say(id, "hello").verb, chat::kAnswer);
  const Snapshot snapshot = freeze(*cpu_, id);
  EXPECT_EQ(value_of(Actor::thaw(program_, snapshot, cpu_->options())).numerics_difference, "");
  const Thawed thawed = value_of(Actor::thaw(program_, snapshot, other_->options()));
  EXPECT_THAT(thawed.numerics_difference,
              HasSubstr("Results may differ in their last bits: the device was cpu and is " +
                        other_->device->info().numerics.device + " now"));
}

TEST_P(NodeMoves, EightBitKvIsComputedOrRefusedWithASentence) {
  const ActorId id = value_of(other_->node->spawn(program_, other_->options()));
  EXPECT_EQ(configure(*other_, id, "q8_0").verb, chat::kStatus);
  const chat::Message answer = other_->say(id, "hello");
  if (answer.verb == chat::kError) {
    EXPECT_THAT(answer.body, HasSubstr("q8_0"));
    EXPECT_THAT(answer.body, HasSubstr(other_->device->info().name));
  }
  // Whichever it was, the actor is there, and so are f16 rows.
  EXPECT_EQ(configure(*other_, id).verb, chat::kStatus);
  EXPECT_EQ(other_->say(id, "hello").verb, chat::kAnswer);
}

INSTANTIATE_TEST_SUITE_P(Devices, NodeMoves, ::testing::ValuesIn(other_devices()),
                         [](const auto& test) { return test_name(test.param); });

}  // namespace
}  // namespace driftwood
