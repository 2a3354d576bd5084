// Actors from real programs: messages, ends, and computing through the guest ABI.
#include "actor/actor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "device/device.hpp"
#include "wasm/engine.hpp"

namespace driftwood {
namespace {

using testing::HasSubstr;

class ActorTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Actor>> try_spawn(const char* wasm, std::chrono::milliseconds run_time = {}) {
    DW_TRY_ASSIGN(auto program, Program::load(*engine_, wasm));
    ActorOptions options;
    options.host.device = device_.get();
    options.host.grants.models = {"oak"};
    options.limits.run_time = run_time;
    return Actor::spawn(std::move(program), std::move(options));
  }
  std::unique_ptr<Actor> spawn(const char* wasm, std::chrono::milliseconds run_time = {}) {
    auto actor = try_spawn(wasm, run_time);
    if (!actor) throw std::runtime_error(actor.error().to_string());
    return *std::move(actor);
  }

  std::unique_ptr<Device> device_ = open_device("cpu", {.threads = 2}).value();
  std::unique_ptr<Engine> engine_ = Engine::create({.cache = std::nullopt}).value();
};

TEST_F(ActorTest, KeepsItsMemoryFromMessageToMessage) {
  const auto actor = spawn(DW_TEST_MESSAGES);
  EXPECT_EQ(actor->state(), ActorState::at_rest);
  EXPECT_EQ(actor->send("count").value(), "1");
  EXPECT_EQ(actor->send("count").value(), "2");
  EXPECT_EQ(spawn(DW_TEST_MESSAGES)->send("count").value(), "1");
}

TEST_F(ActorTest, PassesPiecesOnAsTheyCome) {
  const auto actor = spawn(DW_TEST_MESSAGES);
  std::vector<std::string> pieces;
  ActorState during = ActorState::at_rest;
  const auto reply = actor->send("emit", [&](std::string_view piece) {
    pieces.emplace_back(piece);
    during = actor->state();
  });
  EXPECT_EQ(reply.value(), "one two");
  EXPECT_THAT(pieces, testing::ElementsAre("one ", "two"));
  EXPECT_EQ(during, ActorState::running);
}

TEST_F(ActorTest, CancelledMessageEndsAndTheNextOneIsHandled) {
  const auto actor = spawn(DW_TEST_MESSAGES);
  int pieces = 0;
  const auto reply = actor->send("emit until cancelled", [&](std::string_view) {
    if (++pieces == 3) actor->cancel();
  });
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::cancelled);
  EXPECT_EQ(pieces, 3);
  EXPECT_EQ(actor->send("count").value(), "2");
}

TEST_F(ActorTest, GoesOnAfterEveryKindOfMisuse) {
  const auto actor = spawn(DW_TEST_MESSAGES);
  EXPECT_EQ(actor->send("misuse").value(), "The model \"secret\" was not granted to this program; it may use: oak.");
  EXPECT_EQ(actor->send("count").value(), "2");
}

TEST_F(ActorTest, HandlersErrorIsToldAndEndsNothing) {
  const auto actor = spawn(DW_TEST_MESSAGES);
  const auto own = actor->send("fail");
  ASSERT_FALSE(own);
  EXPECT_EQ(own.error().code, ErrorCode::unavailable);
  EXPECT_EQ(own.error().message, "The program's handler returned the error 7.");
  const auto passed_on = actor->send("pass an error on");
  ASSERT_FALSE(passed_on);
  EXPECT_THAT(passed_on.error().message, HasSubstr("\"model\" of dw_model_close (5)"));
  EXPECT_EQ(actor->send("count").value(), "3");
}

TEST_F(ActorTest, TrapEndsThisActorAlone) {
  const auto actor = spawn(DW_TEST_MESSAGES);
  const auto other = spawn(DW_TEST_MESSAGES);
  const auto trapped = actor->send("trap");
  ASSERT_FALSE(trapped);
  EXPECT_EQ(trapped.error().code, ErrorCode::guest_trap);
  EXPECT_EQ(actor->state(), ActorState::ended);
  const auto after = actor->send("count");
  ASSERT_FALSE(after);
  EXPECT_EQ(after.error().code, ErrorCode::guest_trap);
  EXPECT_EQ(after.error().message, "The operation \"send\" needs an actor that is at_rest; this one is ended.");
  EXPECT_EQ(other->send("count").value(), "1");
}

TEST_F(ActorTest, EndlessLoopEndsWithItsRunTime) {
  const auto actor = spawn(DW_TEST_MESSAGES, std::chrono::milliseconds(50));
  const auto looped = actor->send("loop");
  ASSERT_FALSE(looped);
  EXPECT_EQ(looped.error().code, ErrorCode::guest_trap);
  EXPECT_EQ(actor->state(), ActorState::ended);
}

TEST_F(ActorTest, RunIsForCommandsOnly) {
  const auto status = spawn(DW_TEST_MESSAGES)->run();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(status.error().message, HasSubstr("needs a command"));
}

TEST_F(ActorTest, GuestsMatrixProductIsExact) {
  EXPECT_EQ(spawn(DW_TEST_GEMM)->instance().call("gemm_errors").value(), 0);
}

// The tiny transformer of tests/guests in plain double precision.
class PlainTransformer {
 public:
  explicit PlainTransformer(std::vector<float> weights) : weights_(std::move(weights)) {}

  std::vector<double> logits(const std::vector<std::int32_t>& tokens) {
    const std::size_t n = tokens.size();
    next_ = 0;
    const float* embedding = take(kVocab * kEmbd);
    const float* norm1 = take(kEmbd);
    const float* wq = take(kEmbd * kEmbd);
    const float* wk = take(kEmbd * kKv);
    const float* wv = take(kEmbd * kKv);
    const float* wo = take(kEmbd * kEmbd);
    const float* norm2 = take(kEmbd);
    const float* wgate = take(kEmbd * kFf);
    const float* wup = take(kEmbd * kFf);
    const float* wdown = take(kFf * kEmbd);
    const float* norm3 = take(kEmbd);

    std::vector<std::vector<double>> x(n), q(n), k(n), v(n);
    for (std::size_t t = 0; t < n; ++t) {
      const float* row = embedding + static_cast<std::size_t>(tokens[t]) * kEmbd;
      x[t].assign(row, row + kEmbd);
      const auto h = norm(x[t], norm1);
      q[t] = turned(times(wq, h, kEmbd), t);
      k[t] = turned(times(wk, h, kKv), t);
      v[t] = times(wv, h, kKv);
    }
    std::vector<double> all;
    for (std::size_t t = 0; t < n; ++t) {
      std::vector<double> mixed(kEmbd);
      for (std::size_t head = 0; head < kHeads; ++head) {
        const std::size_t from = head / 2 * kHead;
        std::vector<double> weight;
        double sum = 0;
        for (std::size_t p = 0; p <= t; ++p) {
          double score = 0;
          for (std::size_t d = 0; d < kHead; ++d) score += q[t][head * kHead + d] * k[p][from + d];
          weight.push_back(std::exp(score * 0.25));
          sum += weight.back();
        }
        for (std::size_t p = 0; p <= t; ++p) {
          for (std::size_t d = 0; d < kHead; ++d) mixed[head * kHead + d] += weight[p] / sum * v[p][from + d];
        }
      }
      add(x[t], times(wo, mixed, kEmbd));
      const auto h = norm(x[t], norm2);
      auto gate = times(wgate, h, kFf);
      const auto up = times(wup, h, kFf);
      for (std::size_t i = 0; i < kFf; ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      add(x[t], times(wdown, gate, kEmbd));
      const auto row = times(embedding, norm(x[t], norm3), kVocab);
      all.insert(all.end(), row.begin(), row.end());
    }
    return all;
  }

  static constexpr std::size_t kEmbd = 64, kHeads = 4, kHead = 16, kKv = 32, kFf = 96, kVocab = 50;
  static constexpr std::size_t kWeights =
      kVocab * kEmbd + 3 * kEmbd + 2 * kEmbd * kEmbd + 2 * kEmbd * kKv + 3 * kEmbd * kFf;

 private:
  const float* take(std::size_t n) {
    const float* found = weights_.data() + next_;
    next_ += n;
    return found;
  }
  static std::vector<double> times(const float* w, const std::vector<double>& x, std::size_t rows) {
    std::vector<double> product(rows);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < x.size(); ++j) product[i] += w[i * x.size() + j] * x[j];
    }
    return product;
  }
  static std::vector<double> norm(const std::vector<double>& x, const float* weight) {
    double squares = 0;
    for (const double value : x) squares += value * value;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + 1e-5);
    std::vector<double> result(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) result[i] = x[i] * scale * weight[i];
    return result;
  }
  static std::vector<double> turned(std::vector<double> x, std::size_t position) {
    for (std::size_t head = 0; head < x.size(); head += kHead) {
      for (std::size_t i = 0; i < kHead / 2; ++i) {
        const double angle = static_cast<double>(position) * std::pow(10000.0, -2.0 * static_cast<double>(i) / kHead);
        const double a = x[head + i], b = x[head + i + kHead / 2];
        x[head + i] = a * std::cos(angle) - b * std::sin(angle);
        x[head + i + kHead / 2] = a * std::sin(angle) + b * std::cos(angle);
      }
    }
    return x;
  }
  static void add(std::vector<double>& to, const std::vector<double>& what) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += what[i];
  }

  std::vector<float> weights_;
  std::size_t next_ = 0;
};

template <typename T>
std::vector<T> read_guest(Actor& actor, const char* address_of, std::size_t count) {
  const auto offset = static_cast<std::uint32_t>(actor.instance().call(address_of).value());
  std::vector<T> values(count);
  std::memcpy(values.data(), actor.memory().data() + offset, count * sizeof(T));
  return values;
}

TEST_F(ActorTest, GuestsOwnTransformerAgreesWithPlainLoops) {
  const auto actor = spawn(DW_TEST_TRANSFORMER);
  ASSERT_EQ(actor->instance().call("forward").value(), 0);
  const auto tokens = read_guest<std::int32_t>(*actor, "tokens_address", 6);
  const auto got = read_guest<float>(*actor, "logits_address", 6 * PlainTransformer::kVocab);
  PlainTransformer plain(read_guest<float>(*actor, "weights_address", PlainTransformer::kWeights));
  const std::vector<double> want = plain.logits(tokens);
  ASSERT_EQ(got.size(), want.size());
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i], want[i], 2e-3) << i;
    largest = std::max(largest, std::abs(want[i]));
  }
  EXPECT_GT(largest, 1.0) << "logits that are all about zero would agree with anything";
}

}  // namespace
}  // namespace driftwood
