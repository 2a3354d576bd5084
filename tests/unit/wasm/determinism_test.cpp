// Clocks and random numbers as a part of a guest's state.

#include <openssl/sha.h>

#include <cstring>
#include <vector>

#include "core/clock.hpp"
#include "wasm_fixture.hpp"

namespace driftwood {
namespace {

constexpr std::string_view kWorld = R"((module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_res_get" (func $resolution (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory 1)
  (func (export "time") (param i32) (result i32) (call $time (local.get 0) (i64.const 0) (i32.const 0)))
  (func (export "resolution") (param i32) (result i32) (call $resolution (local.get 0) (i32.const 0)))
  (func (export "random") (param i32 i32) (result i32) (call $random (local.get 0) (local.get 1)))
  (func (export "sleep") (param $seconds i32) (result i32)
    (i64.store (i32.const 256) (i64.const 77))
    (i32.store8 (i32.const 264) (i32.const 0))
    (i32.store (i32.const 272) (i32.const 1))
    (i64.store (i32.const 280) (i64.mul (i64.extend_i32_u (local.get $seconds)) (i64.const 1000000000)))
    (i32.store16 (i32.const 296) (i32.const 0))
    (call $poll (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 600)))))";

class DeterminismTest : public WasmTest {
 protected:
  DeterminismTest() : program_(compile(kWorld)) {}

  std::unique_ptr<Instance> make(std::optional<Determinism> determinism) {
    return Instance::create(program_, {.determinism = determinism}).value();
  }
  static std::int32_t call(Instance& instance, std::string_view name, std::vector<std::int32_t> arguments) {
    return instance.call(name, arguments).value();
  }
  static std::uint64_t number_at(Instance& instance, std::size_t offset) {
    std::uint64_t number = 0;
    std::memcpy(&number, instance.memory().data() + offset, 8);
    return number;
  }
  static std::uint64_t time(Instance& instance, std::int32_t clock) {
    EXPECT_EQ(call(instance, "time", {clock}), 0);
    return number_at(instance, 0);
  }
  static std::string random(Instance& instance, std::int32_t size) {
    EXPECT_EQ(call(instance, "random", {1024, size}), 0);
    return {reinterpret_cast<const char*>(instance.memory().data()) + 1024, static_cast<std::size_t>(size)};
  }

  std::shared_ptr<const Program> program_;
};

TEST_F(DeterminismTest, EachReadingOfAClockAdvancesBothByTheStep) {
  auto instance = make(Determinism{.clock_ns = 5'000'000});
  EXPECT_EQ(time(*instance, 0), 5'000'000u);
  EXPECT_EQ(time(*instance, 1), 5'001'000u);
  EXPECT_EQ(time(*instance, 0), 5'002'000u);
  EXPECT_EQ(instance->determinism()->clock_ns, 5'003'000u);
  EXPECT_EQ(call(*instance, "resolution", {1}), 0);
  EXPECT_EQ(number_at(*instance, 0), kVirtualClockStep);
}

TEST_F(DeterminismTest, ASleepAdvancesTheClockWithoutWaiting) {
  auto instance = make(Determinism{.clock_ns = 1});
  const Stopwatch watch;
  EXPECT_EQ(call(*instance, "sleep", {3600}), 0);
  EXPECT_LT(watch.elapsed_s(), 60);
  EXPECT_EQ(number_at(*instance, 512), 77u);  // the event that woke it
  EXPECT_EQ(time(*instance, 1), 3'600'000'000'001u);
}

TEST_F(DeterminismTest, RandomBytesAreThoseOfTheSeedHoweverTheyAreAsked) {
  auto whole = make(Determinism{.seed = 7});
  auto pieces = make(Determinism{.seed = 7});
  const std::string expected = random(*whole, 500);
  std::string got;
  for (const std::int32_t size : {1, 31, 32, 33, 0, 3, 400}) got += random(*pieces, size);
  EXPECT_EQ(got, expected);
  EXPECT_EQ(whole->determinism()->random_position, 500u);
  EXPECT_NE(random(*make(Determinism{.seed = 8}), 500), expected);
}

TEST_F(DeterminismTest, TheGeneratorIsTheOneThatIsDocumented) {
  Determinism state{.seed = 0x0102030405060708, .random_position = 32 * 3};
  std::string block(32, '?');
  state.fill_random(std::as_writable_bytes(std::span(block)));
  const std::string input =
      std::string("driftwood random") + "\x08\x07\x06\x05\x04\x03\x02\x01" + '\3' + std::string(7, '\0');
  unsigned char expected[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(input.data()), input.size(), expected);
  EXPECT_EQ(std::memcmp(block.data(), expected, 32), 0);
}

TEST_F(DeterminismTest, AResumedGuestSeesWhatItWouldHaveSeen) {
  auto straight = make(Determinism{.seed = 3, .clock_ns = 100});
  auto first = make(Determinism{.seed = 3, .clock_ns = 100});
  for (Instance* instance : {straight.get(), first.get()}) {
    random(*instance, 45);
    time(*instance, 0);
    call(*instance, "sleep", {5});
  }
  auto image = first->memory().seal().value();
  const std::size_t size = image->size();
  InstanceState state{Region::create_over(image, linear_memory_options(size)).value(), first->globals()};
  auto resumed = Instance::resume(program_, std::move(state), {.determinism = first->determinism()}).value();
  EXPECT_EQ(time(*resumed, 0), time(*straight, 0));
  EXPECT_EQ(random(*resumed, 100), random(*straight, 100));
  EXPECT_EQ(resumed->determinism(), straight->determinism());
}

TEST_F(DeterminismTest, WithoutItClocksAndRandomNumbersAreTheSystems) {
  auto instance = make(std::nullopt);
  EXPECT_EQ(instance->determinism(), std::nullopt);
  EXPECT_GT(time(*instance, 0), 1'700'000'000'000'000'000u);
  EXPECT_NE(random(*instance, 600), random(*instance, 600));
}

TEST_F(DeterminismTest, BytesOutsideTheMemoryAreAFault) {
  for (const auto& determinism : {std::optional<Determinism>(Determinism{}), std::optional<Determinism>()}) {
    auto instance = make(determinism);
    EXPECT_EQ(call(*instance, "random", {65535, 2}), 21);
    EXPECT_EQ(call(*instance, "random", {-1, -1}), 21);
    EXPECT_EQ(call(*instance, "random", {65536, 0}), 0);
    EXPECT_EQ(call(*instance, "time", {2}), 28);
    EXPECT_EQ(call(*instance, "resolution", {2}), 28);
  }
}

TEST_F(DeterminismTest, AskingForMuchRandomnessEndsAtTheDeadline) {
  const auto program = compile(R"((module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (memory 16384) (func (export "flood") (loop (drop (call $random (i32.const 0) (i32.const 0x3fffffff))) (br 0)))))");
  auto instance =
      Instance::create(program, {.determinism = Determinism{}, .limits = {.run_time = std::chrono::milliseconds(50)}})
          .value();
  const Stopwatch watch;
  const auto ended = instance->call("flood");
  EXPECT_LT(watch.elapsed_s(), 20);
  ASSERT_FALSE(ended.has_value());
  EXPECT_EQ(ended.error().code, ErrorCode::guest_trap);
}

}  // namespace
}  // namespace driftwood
