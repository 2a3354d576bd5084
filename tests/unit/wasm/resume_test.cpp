// An Instance at rest, taken apart into its memory and globals, goes on in another one.

#include <bit>
#include <cstring>
#include <vector>

#include "memory/image.hpp"
#include "support/many_memories.hpp"
#include "wasm_fixture.hpp"

namespace driftwood {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kCounter = R"((module (memory 1 10)
  (global $count (mut i32) (i32.const 0)) (data (i32.const 0) "begin")
  (func $start (global.set $count (i32.const 100))) (start $start)
  (func (export "_initialize") (global.set $count (i32.add (global.get $count) (i32.const 1))))
  (func (export "next") (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (i32.store (i32.mul (global.get $count) (i32.const 8)) (global.get $count))
    (i32.add (global.get $count) (i32.load8_u (i32.const 0))))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "size") (result i32) (memory.size))
  (func (export "poke") (param i32) (i32.store8 (local.get 0) (i32.const 1)))))";

class Resume : public WasmTest {
 protected:
  /// What a freeze takes of it.
  static InstanceState frozen(Instance& instance) {
    auto image = instance.memory().seal().value();
    const std::size_t size = image->size();
    return {Region::create_over(std::move(image), linear_memory_options(size)).value(), instance.globals()};
  }
  static std::int32_t call(Instance& instance, std::string_view name, std::vector<std::int32_t> arguments = {}) {
    auto result = instance.call(name, arguments);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return result.value_or(-12345);
  }
  static bool same_memory(Instance& a, Instance& b) {
    const auto of_a = a.memory().bytes();
    const auto of_b = b.memory().bytes();
    return of_a.size() == of_b.size() && std::memcmp(of_a.data(), of_b.data(), of_a.size()) == 0;
  }
  Error refusal(const std::shared_ptr<const Program>& program, InstanceState state,
                const InstanceOptions& options = {}) {
    auto resumed = Instance::resume(program, std::move(state), options);
    EXPECT_FALSE(resumed.has_value());
    return resumed ? Error{} : std::move(resumed).error();
  }
};

TEST_F(Resume, GoesOnAsTheOneThatWasNeverFrozen) {
  const auto program = compile(kCounter);
  auto straight = Instance::create(program, {}).value();
  auto frozen_each_time = Instance::create(program, {}).value();
  for (int turn = 0; turn < 20; ++turn) {
    ASSERT_EQ(call(*frozen_each_time, "next"), call(*straight, "next"));
    frozen_each_time = Instance::resume(program, frozen(*frozen_each_time), {}).value();
    ASSERT_EQ(frozen_each_time->globals(), straight->globals());
    ASSERT_TRUE(same_memory(*frozen_each_time, *straight));
  }
}

TEST_F(Resume, RunsNeitherStartNorInitialize) {
  const auto program = compile(kCounter);
  auto instance = Instance::create(program, {}).value();
  EXPECT_EQ(call(*instance, "next"), 102 + 'b');
  auto resumed = Instance::resume(program, frozen(*instance), {}).value();
  EXPECT_EQ(call(*resumed, "next"), 103 + 'b');
}

TEST_F(Resume, DoesNotApplyTheDataAgain) {
  const auto program = compile(kCounter);
  auto instance = Instance::create(program, {}).value();
  call(*instance, "poke", {0});
  EXPECT_EQ(call(*instance, "next"), 102 + 1);
  auto resumed = Instance::resume(program, frozen(*instance), {}).value();
  EXPECT_EQ(call(*resumed, "next"), 103 + 1);
}

TEST_F(Resume, LeavesTheOneThatItCameFromAlone) {
  const auto program = compile(kCounter);
  auto parent = Instance::create(program, {}).value();
  auto child = Instance::resume(program, frozen(*parent), {}).value();
  call(*child, "poke", {5000});
  call(*child, "next");
  EXPECT_EQ(parent->memory().data()[5000], std::byte{0});
  EXPECT_EQ(call(*parent, "next"), 102 + 'b');
  call(*parent, "poke", {6000});
  EXPECT_EQ(child->memory().data()[6000], std::byte{0});
}

TEST_F(Resume, AGrownMemoryKeepsItsSizeGrowsOnAndHoldsItsLimits) {
  const auto program = compile(kCounter);
  auto instance = Instance::create(program, {}).value();
  EXPECT_EQ(call(*instance, "grow", {4}), 1);
  call(*instance, "poke", {5 * 65536 - 1});
  const InstanceOptions options{.limits = {.memory_bytes = 7 * kWasmPage}};
  auto resumed = Instance::resume(program, frozen(*instance), options).value();
  EXPECT_EQ(call(*resumed, "size"), 5);
  EXPECT_EQ(resumed->memory().data()[5 * kWasmPage - 1], std::byte{1});
  const std::int32_t beyond[] = {5 * 65536};
  EXPECT_EQ(resumed->call("poke", beyond).error().code, ErrorCode::guest_trap);

  resumed = Instance::resume(program, frozen(*instance), options).value();
  EXPECT_EQ(call(*resumed, "grow", {2}), 5);
  call(*resumed, "poke", {7 * 65536 - 1});
  EXPECT_EQ(call(*resumed, "grow", {1}), -1);  // the limit

  auto unlimited = Instance::resume(program, frozen(*resumed), {}).value();
  EXPECT_EQ(call(*unlimited, "grow", {3}), 7);
  EXPECT_EQ(call(*unlimited, "grow", {1}), -1);  // the module's own maximum
}

template <typename Bits>
WasmValue value(WasmType type, Bits bits) {
  WasmValue made{.type = type, .bits = {}};
  std::memcpy(made.bits.data(), &bits, sizeof bits);
  return made;
}

TEST_F(Resume, GlobalsOfAllTypesKeepEveryBit) {
  constexpr std::string_view kGlobals = R"((module (memory 1)
    (global $a (mut i32) (i32.const -2)) (global $b (mut i64) (i64.const 0x8000000000000001))
    (global $c (mut f32) (f32.const nan:0x200001)) (global $d (mut f64) (f64.const -nan:0x4000000000001))
    (global $e (mut v128) (v128.const i64x2 0x7ff0000000000001 0x0102030405060708)) (global i32 (i32.const 9))
    (global $f (mut f64) (f64.const -0))
    (func (export "same") (result i32)
      (i32.and (i32.and (i32.eq (global.get $a) (i32.const 123456789))
                        (i64.eq (global.get $b) (i64.const -42)))
        (i32.and (i32.and (i32.eq (i32.reinterpret_f32 (global.get $c)) (i32.const 0xff800001))
                          (i64.eq (i64.reinterpret_f64 (global.get $d)) (i64.const 0x7ff0000000000001)))
          (i32.and (i64.eq (i64x2.extract_lane 0 (global.get $e)) (i64.const 0x7ff0000000000003))
                   (i64.eq (i64x2.extract_lane 1 (global.get $e)) (i64.const 0xfff0000000000005))))))))";
  const auto program = compile(kGlobals);
  auto instance = Instance::create(program, {}).value();
  struct Lanes {
    std::uint64_t low, high;
  };
  EXPECT_THAT(instance->globals(),
              ElementsAre(value(WasmType::i32, std::int32_t{-2}), value(WasmType::i64, 0x8000000000000001u),
                          value(WasmType::f32, 0x7fa00001u), value(WasmType::f64, 0xfff4000000000001u),
                          value(WasmType::v128, Lanes{0x7ff0000000000001u, 0x0102030405060708u}),
                          value(WasmType::f64, std::uint64_t{1} << 63)));

  InstanceState state = frozen(*instance);
  state.globals = {value(WasmType::i32, 123456789),
                   value(WasmType::i64, std::int64_t{-42}),
                   value(WasmType::f32, 0xff800001u),
                   value(WasmType::f64, 0x7ff0000000000001u),
                   value(WasmType::v128, Lanes{0x7ff0000000000003u, 0xfff0000000000005u}),
                   value(WasmType::f64, 0x7ff8dead0000beefu)};
  const auto given = state.globals;
  auto resumed = Instance::resume(program, std::move(state), {}).value();
  EXPECT_EQ(resumed->globals(), given);
  EXPECT_EQ(resumed->call("same").value(), 1);
}

TEST_F(Resume, GlobalsThatAreNotTheProgramsAreIncompatible) {
  const auto program = compile(kCounter);
  auto instance = Instance::create(program, {}).value();
  InstanceState none = frozen(*instance);
  none.globals.clear();
  const Error count = refusal(program, std::move(none));
  EXPECT_EQ(count.code, ErrorCode::incompatible);
  EXPECT_EQ(count.message, "The state has 0 mutable globals, but the program has 1.");

  InstanceState other = frozen(*instance);
  other.globals = {value(WasmType::f32, 1.0f)};
  const Error type = refusal(program, std::move(other));
  EXPECT_EQ(type.code, ErrorCode::incompatible);
  EXPECT_EQ(type.message, "The state's mutable global 0 is of type f32, but the program's is of type i32.");
}

TEST_F(Resume, MemoryThatCannotBeTheProgramsIsRefused) {
  const auto program = compile(kCounter);
  const std::vector<WasmValue> globals = Instance::create(program, {}).value()->globals();
  const auto state = [&](const RegionOptions& options) {
    return InstanceState{Region::create(options).value(), globals};
  };
  EXPECT_EQ(refusal(program, {nullptr, globals}).code, ErrorCode::incompatible);
  EXPECT_EQ(refusal(program, state(linear_memory_options(11 * kWasmPage))).code, ErrorCode::incompatible);
  EXPECT_EQ(refusal(program, state(linear_memory_options(kWasmPage + 4096))).code, ErrorCode::incompatible);
  const auto larger = compile("(module (memory 2) (global (mut i32) (i32.const 0)))");
  EXPECT_EQ(refusal(larger, state(linear_memory_options(kWasmPage))).code, ErrorCode::incompatible);

  RegionOptions no_guard = linear_memory_options(kWasmPage);
  no_guard.guard = 0;
  EXPECT_EQ(refusal(program, state(no_guard)).code, ErrorCode::invalid_argument);
  RegionOptions small = linear_memory_options(kWasmPage);
  small.reserve = kGiB;
  EXPECT_EQ(refusal(program, state(small)).code, ErrorCode::invalid_argument);

  const InstanceOptions limited{.limits = {.memory_bytes = kWasmPage}};
  EXPECT_EQ(refusal(program, state(linear_memory_options(2 * kWasmPage)), limited).code, ErrorCode::out_of_memory);
}

TEST_F(Resume, AProgramThatCannotBeFrozenIsNotResumed) {
  const auto program = compile(R"((module (memory 1) (table 1 funcref)
    (func (table.set 0 (i32.const 0) (ref.null func)))))",
                               {.freezable = false});
  auto instance = Instance::create(program, {}).value();
  const Error error = refusal(program, frozen(*instance));
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.message, HasSubstr("table.set"));
}

TEST_F(Resume, TablesAreThereAgain) {
  const auto program = compile(R"((module (memory 1) (type $t (func (result i32))) (table 2 funcref)
    (elem (i32.const 0) $one $two) (func $one (result i32) (i32.const 11)) (func $two (result i32) (i32.const 22))
    (func (export "pick") (param i32) (result i32) (call_indirect (type $t) (local.get 0)))))");
  auto instance = Instance::create(program, {}).value();
  auto resumed = Instance::resume(program, frozen(*instance), {}).value();
  EXPECT_EQ(call(*resumed, "pick", {1}), 22);
}

TEST_F(Resume, AThousandChildrenOfOneImageGoTheirOwnWays) {
  const auto program = compile(kCounter);
  auto parent = Instance::create(program, {}).value();
  const auto image = parent->memory().seal().value();
  std::vector<std::unique_ptr<Instance>> children;
  for (int i = 0; i < testing::kManyMemories; ++i) {
    auto region = Region::create_over(image, linear_memory_options(image->size())).value();
    children.push_back(Instance::resume(program, {std::move(region), {value(WasmType::i32, i)}}, {}).value());
  }
  for (int i = 0; i < testing::kManyMemories; i += 7) EXPECT_EQ(call(*children[i], "next"), i + 1 + 'b');
}

}  // namespace
}  // namespace driftwood
