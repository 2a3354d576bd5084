// Actors whose device worker ends, over and over, under load: none is lost, and their memory and what they say are
// those of a run in which nothing ended. On the CPU, or on the device that DRIFTWOOD_TEST_DEVICE names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <random>
#include <regex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "actor/actor.hpp"
#include "chat/protocol.hpp"
#include "device/worker/worker_device.hpp"
#include "device/worker_processes.hpp"
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
using ::testing::Not;
using namespace std::chrono_literals;

int count(std::string_view text, std::string_view sentence) {
  int found = 0;
  for (std::size_t at = text.find(sentence); at != std::string_view::npos; at = text.find(sentence, at + 1)) ++found;
  return found;
}

/// What became of an actor: its replies, and all of it at rest.
struct Outcome {
  std::vector<std::string> replies;
  std::vector<std::byte> memory;
  std::vector<WasmValue> globals;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

class WorkerActors : public ::testing::Test {
 protected:
  static constexpr int kActors = 4;
  static constexpr int kTurns = 3;

  void SetUp() override {
    RandomModelOptions model = representative_options("llama");
    model.n_embd = 128;
    model.head_dim = 64;
    model.type = GGML_TYPE_Q4_0;
    ASSERT_TRUE(write_random_model(model, folder_.path() / "oak.gguf"));
    program_ = value_of(Program::load(*engine_, DW_TEST_CHAT));
  }

  /// From here on, new actors use this device.
  void use(Result<std::unique_ptr<Device>> device) {
    devices_.push_back(value_of(std::move(device)));
    pools_.push_back(std::make_unique<ModelPool>(*devices_.back()));
    ASSERT_TRUE(pools_.back()->add("oak", folder_.path() / "oak.gguf"));
  }
  static Result<std::unique_ptr<Device>> faulty(const std::string& name) {
    return worker::open_worker_device(name, {.program = DW_TEST_FAULT_WORKER, .device = {}});
  }

  ActorOptions options() {
    ActorOptions options = talker_options(*devices_.back(), *pools_.back());
    options.host.progress = [this](std::uint32_t, std::uint32_t) { ++passes_; };
    return options;
  }
  static std::string say(Actor& actor, int turn) {
    const std::string text = "turn " + std::to_string(turn) + " asks a little more than that";
    return value_of(actor.send(chat::encode(chat::kSay, std::string_view(text))));
  }
  std::unique_ptr<Actor> spawn(std::uint64_t seed) {
    chat::Settings settings = talker_settings(seed);
    settings.sampling.max_tokens = 24;
    auto actor = value_of(Actor::spawn(program_, options()));
    EXPECT_THAT(value_of(actor->send(chat::encode(chat::kConfigure, settings))), HasSubstr("status"));
    return actor;
  }

  /// A conversation, with a freeze, a thaw and a fork on the way.
  Outcome converse(std::uint64_t seed) {
    auto actor = spawn(seed);
    Outcome outcome;
    for (int turn = 0; turn < kTurns; ++turn) {
      outcome.replies.push_back(say(*actor, turn));
      const Snapshot frozen = value_of(actor->freeze());
      if (turn == 0) actor = value_of(Actor::thaw(program_, frozen, options())).actor;
    }
    const auto children = value_of(actor->fork(1));
    outcome.replies.push_back(say(*children.front(), kTurns));
    const auto bytes = actor->memory().bytes();
    outcome.memory.assign(bytes.begin(), bytes.end());
    outcome.globals = actor->instance().globals();
    if (devices_.back()->info().capabilities.weights_sharing == Sharing::copied) forget_copies(outcome);
    return outcome;
  }
  /// An answer tells how many bytes its device has copied. One that copies weights copies them again when it was
  /// started again: what is left to compare there is the text, and the Context with its rows.
  static void forget_copies(Outcome& outcome) {
    const auto answer = chat::read_fields<chat::Answer>(chat::decode(outcome.replies.back()).value());
    const auto context = outcome.memory.begin() + static_cast<std::ptrdiff_t>(answer.value().proof.context_address);
    outcome.memory = {context, context + static_cast<std::ptrdiff_t>(answer.value().proof.context_bytes)};
    for (std::string& reply : outcome.replies) reply = std::regex_replace(reply, std::regex("bytes_copied \\d+\n"), "");
  }
  std::vector<Outcome> converse_all() {
    std::vector<Outcome> outcomes(kActors);
    std::vector<std::thread> threads;
    for (int i = 0; i < kActors; ++i) {
      threads.emplace_back([&, i] { outcomes[i] = converse(static_cast<std::uint64_t>(i) + 1); });
    }
    for (std::thread& thread : threads) thread.join();
    return outcomes;
  }

  TemporaryFolder folder_;
  std::unique_ptr<Engine> engine_ = Engine::create({.cache = std::nullopt}).value();
  std::shared_ptr<const Program> program_;
  std::atomic<std::uint64_t> passes_{0};
  std::vector<std::unique_ptr<Device>> devices_;
  std::vector<std::unique_ptr<ModelPool>> pools_;
};

TEST_F(WorkerActors, GoOnAsIfNothingHadHappenedThroughAHundredKills) {
  const char* const device = std::getenv("DRIFTWOOD_TEST_DEVICE");
  use(open_device(device == nullptr ? "cpu" : device, {.threads = 1, .worker = WorkerUse::on}));
  const std::vector<Outcome> undisturbed = converse_all();
  for (const Outcome& outcome : undisturbed) {
    ASSERT_EQ(outcome.replies.size(), std::size_t{kTurns} + 1);
    for (const std::string& reply : outcome.replies) ASSERT_THAT(reply, HasSubstr("answer"));
  }
  constexpr int kKills = 100;
  int kills = 0;
  std::mt19937 random(1);
  ::testing::internal::CaptureStderr();
  while (kills < kKills) {
    std::atomic<bool> done{false};
    std::thread killer([&] {
      while (!done && kills < kKills) {
        // A pass is repeated once, so that one of them may not meet two ends. Of two that are told after a kill, the
        // first may have been over before it; the second was not.
        const std::uint64_t seen = passes_;
        while (passes_ < seen + 2 && !done) std::this_thread::sleep_for(100us);
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 4000));
        if (!done && kill_workers()) ++kills;
      }
    });
    const std::vector<Outcome> outcomes = converse_all();
    done = true;
    killer.join();
    for (int i = 0; i < kActors; ++i) {
      ASSERT_EQ(outcomes[i].replies, undisturbed[i].replies) << "actor " << i << " after " << kills << " kills";
      ASSERT_TRUE(outcomes[i] == undisturbed[i]) << "memory of actor " << i << " after " << kills << " kills";
    }
  }
  const int in_the_middle = count(::testing::internal::GetCapturedStderr(), "ended in the middle of a computation");
  RecordProperty("kills_in_a_computation", in_the_middle);
  EXPECT_GE(in_the_middle, kKills / 4) << "a worker that is killed while it has nothing to do proves little";
}

TEST_F(WorkerActors, DoNotNoticeAPassThatIsRepeated) {
  use(faulty("faulty:none:0"));
  const Outcome undisturbed = converse(5);
  use(faulty("faulty:abort:7"));
  std::vector<std::string> replies = converse(5).replies;
  for (std::string& reply : replies) {
    // A reply names the device.
    const std::size_t at = reply.find("abort:7");
    ASSERT_NE(at, std::string::npos);
    reply.replace(at, 7, "none:0");
  }
  EXPECT_EQ(replies, undisturbed.replies) << "each worker aborts in its seventh computation";
}

TEST_F(WorkerActors, OfADeviceThatIsLostGoOnOnAnother) {
  use(open_device("cpu", {.threads = 1, .worker = WorkerUse::on}));
  const auto undisturbed = spawn(3);
  const std::string first = say(*undisturbed, 0);
  const std::string second = say(*undisturbed, 1);
  const auto actor = spawn(3);
  ASSERT_EQ(say(*actor, 0), first);
  const Snapshot frozen = value_of(actor->freeze());

  use(faulty("faulty:abort:1"));
  const auto stranded = value_of(Actor::thaw(program_, frozen, options())).actor;
  std::string last;
  for (int i = 0; i < 4; ++i) {
    last = say(*stranded, 1);
    EXPECT_THAT(last, HasSubstr("error"));
  }
  EXPECT_THAT(last, HasSubstr("lost"));
  EXPECT_THAT(value_of(stranded->send(chat::encode(chat::kStats, std::string_view()))), HasSubstr("status"))
      << "it is as alive as before";
  const Snapshot rescued = value_of(stranded->freeze());

  use(open_device("cpu", {.threads = 1, .worker = WorkerUse::on}));
  EXPECT_EQ(say(*value_of(Actor::thaw(program_, frozen, options())).actor, 1), second);
  EXPECT_THAT(say(*value_of(Actor::thaw(program_, rescued, options())).actor, 1), Not(HasSubstr("error")));
}

}  // namespace
}  // namespace driftwood
