// How runs of a guest end: traps, deadlines, interruption, exits.

#include <chrono>
#include <future>
#include <thread>

#include "core/clock.hpp"
#include "wasm_fixture.hpp"

namespace driftwood {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

constexpr std::string_view kGuest = R"((module
  (memory (export "memory") 1)
  (table 2 funcref)
  (func $deepest (param $address i32) (result i32) (i32.load (local.get $address)))
  (func $middle (param $address i32) (result i32) (call $deepest (local.get $address)))
  (func $load (export "load") (param i32) (result i32) (call $middle (local.get 0)))
  (func (export "far") (result i32) (i32.load offset=4294967295 (i32.const -1)))
  (func (export "unreachable") unreachable)
  (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func (export "indirect") (param i32) (call_indirect (param) (local.get 0)))
  (func $recurse (export "recurse") (result i32) (i32.add (call $recurse) (i32.const 1)))
  (func $forever (export "forever") (loop $again (br $again)))
  (func $forever_by_tail_calls (export "forever_by_tail_calls") (return_call $forever_by_tail_calls))
  (func (export "count") (param $n i32) (result i32) (local $i i32)
    (loop $again
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $i))))";

using InstanceEnd = WasmTest;

Error error_of(Instance& instance, std::string_view name, std::vector<std::int32_t> arguments = {}) {
  auto result = instance.call(name, arguments);
  EXPECT_FALSE(result.has_value()) << name;
  return result ? Error{} : std::move(result).error();
}

TEST_F(InstanceEnd, AnOutOfBoundsAccessNamesTheAddressAndEveryFrame) {
  auto instance = spawn(kGuest).value();
  const Error error = error_of(*instance, "load", {65536});
  EXPECT_EQ(error.code, ErrorCode::guest_trap);
  EXPECT_THAT(error.message, MatchesRegex("The guest trapped: out-of-bounds memory access at address "
                                          "0x10000 in linear memory of size 0x10000\\."
                                          "\n  #0 deepest at 0x[0-9a-f]+"
                                          "\n  #1 middle at 0x[0-9a-f]+"
                                          "\n  #2 load at 0x[0-9a-f]+"));
}

TEST_F(InstanceEnd, TheInstanceAndOthersGoOnAfterATrap) {
  auto instance = spawn(kGuest).value();
  auto other = spawn(kGuest).value();
  error_of(*instance, "load", {-1});
  EXPECT_EQ(instance->call("load", std::vector<std::int32_t>{0}).value(), 0);
  EXPECT_EQ(other->call("load", std::vector<std::int32_t>{0}).value(), 0);
}

TEST_F(InstanceEnd, EachTrapSaysWhatWasWrong) {
  auto instance = spawn(kGuest).value();
  EXPECT_THAT(error_of(*instance, "far").message, HasSubstr("out-of-bounds memory access"));
  EXPECT_THAT(error_of(*instance, "unreachable").message, HasSubstr("unreachable instruction"));
  EXPECT_THAT(error_of(*instance, "divide", {0}).message, HasSubstr("division by zero"));
  EXPECT_THAT(error_of(*instance, "indirect", {1}).message, HasSubstr("empty table element"));
  EXPECT_THAT(error_of(*instance, "indirect", {2}).message, HasSubstr("out-of-bounds table access"));
}

TEST_F(InstanceEnd, EndlessRecursionIsAnErrorOnAnyThread) {
  auto instance = spawn(kGuest).value();
  EXPECT_THAT(error_of(*instance, "recurse").message, HasSubstr("call stack exhausted"));
  std::thread([&] { EXPECT_THAT(error_of(*instance, "recurse").message, HasSubstr("call stack exhausted")); }).join();
}

TEST_F(InstanceEnd, AnEndlessLoopEndsAtItsDeadline) {
  auto instance = spawn(kGuest, {.limits = {.run_time = milliseconds(100)}}).value();
  for (const char* loop : {"forever", "forever_by_tail_calls"}) {
    const Stopwatch watch;
    const Error error = error_of(*instance, loop);
    EXPECT_GE(watch.elapsed_s(), 0.1);
    EXPECT_EQ(error.code, ErrorCode::guest_trap);
    EXPECT_THAT(error.message, MatchesRegex("The guest ran longer than its limit of 100 ms\\."
                                            "\n  #0 [a-z_]+ at 0x[0-9a-f]+"));
  }
  EXPECT_EQ(instance->call("count", std::vector<std::int32_t>{10}).value(), 10);
}

TEST_F(InstanceEnd, ADeadlineEndsOnlyTheGuestThatHasIt) {
  auto limited = spawn(kGuest, {.limits = {.run_time = milliseconds(50)}}).value();
  auto unlimited = spawn(kGuest).value();
  std::atomic<bool> done = false;
  std::thread counting([&] {
    while (!done) EXPECT_EQ(unlimited->call("count", std::vector<std::int32_t>{1000000}).value(), 1000000);
  });
  error_of(*limited, "forever");
  done = true;
  counting.join();
}

TEST_F(InstanceEnd, EachCallHasTheWholeOfItsTime) {
  auto instance = spawn(kGuest, {.limits = {.run_time = milliseconds(300)}}).value();
  const Stopwatch watch;
  while (watch.elapsed_s() < 0.5) {
    const auto counted = instance->call("count", std::vector<std::int32_t>{1000000});
    ASSERT_TRUE(counted.has_value()) << counted.error().message;
  }
}

TEST_F(InstanceEnd, AStartFunctionIsHeldToTheDeadline) {
  const auto instance =
      spawn("(module (memory 1) (func $f (loop $l (br $l))) (start $f))", {.limits = {.run_time = milliseconds(50)}});
  ASSERT_FALSE(instance.has_value());
  EXPECT_EQ(instance.error().code, ErrorCode::guest_trap);
  EXPECT_THAT(instance.error().message, HasSubstr("longer than its limit of 50 ms"));
}

TEST_F(InstanceEnd, InterruptEndsARunningCallFromAnotherThread) {
  auto instance = spawn(kGuest).value();
  auto running = std::async(std::launch::async, [&] { return instance->call("forever"); });
  while (running.wait_for(milliseconds(20)) != std::future_status::ready) instance->interrupt();
  const auto result = running.get();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  EXPECT_FALSE(instance->interrupted());
}

TEST_F(InstanceEnd, InterruptWithoutARunningCallDoesNothing) {
  auto instance = spawn(kGuest).value();
  instance->interrupt();
  EXPECT_EQ(instance->call("count", std::vector<std::int32_t>{1000}).value(), 1000);
}

TEST_F(InstanceEnd, ACallWithinACallOfTheSameInstanceIsRefused) {
  struct Host {
    Instance* instance = nullptr;
    ErrorCode code = ErrorCode::internal;
  } host;
  const HostFunction functions[] = {{"host", "again", "", "", [](void* data, wasmtime_val_raw_t*) {
                                       auto& self = *static_cast<Host*>(data);
                                       const auto nested = self.instance->call("f");
                                       if (!nested) self.code = nested.error().code;
                                     }}};
  auto instance = spawn(R"((module (import "host" "again" (func $again)) (memory 1)
      (func (export "f") (call $again))))",
                        {.functions = functions, .host = &host})
                      .value();
  host.instance = instance.get();
  EXPECT_TRUE(instance->call("f").has_value());
  EXPECT_EQ(host.code, ErrorCode::unavailable);
}

TEST_F(InstanceEnd, ATrapInTheStartFunctionIsAnErrorOfCreate) {
  const auto instance = spawn("(module (memory 1) (func $boot unreachable) (start $boot))");
  ASSERT_FALSE(instance.has_value());
  EXPECT_EQ(instance.error().code, ErrorCode::guest_trap);
  EXPECT_THAT(instance.error().message, HasSubstr("#0 boot at"));
}

TEST_F(InstanceEnd, AReactorsInitializeRunsBeforeItsFirstCall) {
  auto instance = spawn(R"((module (memory 1) (global $ready (mut i32) (i32.const 0))
      (func (export "_initialize") (global.set $ready (i32.const 1)))
      (func (export "driftwood_receive") (result i32) (global.get $ready))))")
                      .value();
  EXPECT_EQ(instance->call("driftwood_receive").value(), 1);
}

TEST_F(InstanceEnd, AGuestsNamesCannotWriteToATerminal) {
  auto instance = spawn("(module (memory 1) (func (export \"\\1b[2J\") unreachable))").value();
  const Error error = error_of(*instance, "\x1b[2J");
  EXPECT_THAT(error.message, Not(HasSubstr("\x1b")));
  EXPECT_THAT(error_of(*instance, "\x1b[3J").message, Not(HasSubstr("\x1b")));
}

TEST_F(InstanceEnd, CallsThatDoNotFitAreRefused) {
  auto instance = spawn(R"((module (memory (export "memory") 1)
      (func (export "wide") (param i64)) (func (export "two") (param i32 i32))
      (func (export "pair") (result i32 i32) (i32.const 1) (i32.const 2))))")
                      .value();
  EXPECT_EQ(error_of(*instance, "absent").code, ErrorCode::not_found);
  EXPECT_EQ(error_of(*instance, "memory").code, ErrorCode::not_found);
  EXPECT_EQ(error_of(*instance, "wide").code, ErrorCode::invalid_argument);
  EXPECT_EQ(error_of(*instance, "pair").code, ErrorCode::invalid_argument);
  const Error error = error_of(*instance, "two", {1});
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_THAT(error.message, HasSubstr("was given 1 arguments, but takes 2"));
  EXPECT_TRUE(instance->has_export("two"));
  EXPECT_FALSE(instance->has_export("three"));
}

}  // namespace
}  // namespace driftwood
