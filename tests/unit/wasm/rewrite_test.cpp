// What rewriting does to a module: nothing but globals, start function and data segments.

#include <wasmtime.h>

#include <cstring>
#include <vector>

#include "memory/image.hpp"
#include "wasm/handles.hpp"
#include "wasm/module/rewrite.hpp"
#include "wasm_fixture.hpp"

namespace driftwood {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Rewrite : public WasmTest {
 protected:
  static std::vector<std::byte> binary(std::string_view wat) {
    WasmBytes bytes;
    const WasmErrorHandle error(wasmtime_wat2wasm(wat.data(), wat.size(), &bytes));
    EXPECT_EQ(error, nullptr);
    const auto span = std::as_bytes(std::span(bytes.data, bytes.size));
    return {span.begin(), span.end()};
  }

  bool validates(std::span<const std::byte> module) const {
    const WasmErrorHandle error(wasmtime_module_validate(
        engine_->handle(), reinterpret_cast<const std::uint8_t*>(module.data()), module.size()));
    return error == nullptr;
  }

  /// The module rewritten; it must validate before and after.
  std::vector<std::byte> rewritten(std::span<const std::byte> module) const {
    EXPECT_TRUE(validates(module));
    auto result = rewrite_module(module);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    EXPECT_TRUE(validates(result->binary));
    return result->binary;
  }

  Error refusal(std::string_view wat, const ProgramOptions& options = {}) const {
    auto program = Program::compile(*engine_, bytes_of(wat), options);
    EXPECT_FALSE(program.has_value()) << wat;
    return program ? Error{} : std::move(program).error();
  }

  std::string first_memory(std::string_view wat, std::size_t offset, std::size_t size) {
    std::string bytes(size, '?');
    compile(wat)->first_image()->read({offset, size}, std::as_writable_bytes(std::span(bytes)));
    return bytes;
  }
};

TEST_F(Rewrite, LeavesAModuleWithNothingToChangeAsItIs) {
  const auto module = binary(R"((module (memory 1) (global $constant i32 (i32.const 7))
    (data "passive") (func (export "get") (result i32) (global.get $constant))
    (func (export "fill") (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 7)))))");
  EXPECT_EQ(rewritten(module), module);
}

TEST_F(Rewrite, RewritingTwiceIsRefused) {
  const auto module = binary("(module (memory 1) (global (mut i32) (i32.const 1)))");
  const auto again = rewrite_module(rewritten(module));
  ASSERT_FALSE(again.has_value());
  EXPECT_THAT(again.error().message, HasSubstr("\"__driftwood_global_0\""));
}

TEST_F(Rewrite, ExportsMutableGlobalsByTheirIndexAndTellsTheirTypes) {
  const auto facts = rewrite_module(binary(R"((module (memory 1)
    (global (mut i32) (i32.const 1)) (global i64 (i64.const 2)) (global (mut i64) (i64.const 3))
    (global (export "own") (mut f32) (f32.const 4)) (global (mut f64) (f64.const 5))
    (global (mut v128) (v128.const i64x2 6 7))))"))
                         .value()
                         .facts;
  EXPECT_THAT(facts.globals, ElementsAre(MutableGlobal{0, WasmType::i32}, MutableGlobal{2, WasmType::i64},
                                         MutableGlobal{3, WasmType::f32}, MutableGlobal{4, WasmType::f64},
                                         MutableGlobal{5, WasmType::v128}));
}

TEST_F(Rewrite, AddsExportsWhateverSectionsThereAre) {
  for (
      const char* wat : {
          "(module (memory 1) (global (mut i32) (i32.const 1)))",
          "(module (memory 1) (global (mut i32) (i32.const 1)) (export \"memory\" (memory 0)))",
          "(module (memory 1) (global (mut i32) (i32.const 1)) (data (i32.const 0) \"a\"))",
          "(module (memory 1) (func $f) (start $f))",
          "(module (memory 1) (func $f) (table 1 funcref) (elem (i32.const 0) $f) (start $f))",
          "(module (memory 1) (func $f (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0))) (data \"b\") (start $f))",
          "(module (import \"host\" \"f\" (func $f)) (memory 1) (start $f))",
          "(module (memory 1) (@custom \"note\" (before global) \"x\") (global (mut i32) (i32.const 1)) "
          "(@custom \"note\" (after data) \"y\"))",
      }) {
    SCOPED_TRACE(wat);
    rewritten(binary(wat));
  }
}

TEST_F(Rewrite, KeepsCustomSectionsAndNamesInBacktraces) {
  const auto module = binary(R"((module (memory 1) (@custom "note" "kept byte for byte")
    (global $ebb (mut i32) (i32.const 1)) (func $strand (export "strand") unreachable)))");
  const auto after = rewritten(module);
  const std::string_view text(reinterpret_cast<const char*>(after.data()), after.size());
  EXPECT_THAT(text, HasSubstr("kept byte for byte"));

  const auto program = Program::compile(*engine_, module).value();
  const auto trapped = Instance::create(program, {}).value()->call("strand");
  ASSERT_FALSE(trapped.has_value());
  EXPECT_THAT(trapped.error().message, HasSubstr("strand"));
}

TEST_F(Rewrite, BacktracesGiveOffsetsInTheModuleAsItWasGiven) {
  const auto module = binary(R"((module (memory 1) (global (mut i32) (i32.const 1)) (func $f) (start $f)
    (func $strand (export "strand") unreachable)))");
  const auto program = Program::compile(*engine_, module).value();
  const auto trapped = Instance::create(program, {}).value()->call("strand");
  ASSERT_FALSE(trapped.has_value());
  const auto at = trapped.error().message.rfind("at 0x");
  ASSERT_NE(at, std::string::npos);
  const std::size_t offset = std::stoul(trapped.error().message.substr(at + 3), nullptr, 16);
  ASSERT_LT(offset, module.size());
  EXPECT_EQ(module[offset], std::byte{0});  // unreachable
}

TEST_F(Rewrite, TheStartFunctionRunsOnceAfterTheDataIsThere) {
  auto instance = spawn(R"((module (memory 1) (global $runs (mut i32) (i32.const 0)) (data (i32.const 8) "\2a")
    (func $start (global.set $runs (i32.add (global.get $runs) (i32.const 1)))
      (i32.store8 (i32.const 9) (i32.load8_u (i32.const 8))))
    (start $start)
    (func (export "_initialize") (i32.store8 (i32.const 10) (global.get $runs)))
    (func (export "runs") (result i32) (global.get $runs))))");
  ASSERT_TRUE(instance.has_value()) << instance.error().message;
  EXPECT_EQ((*instance)->call("runs").value(), 1);
  EXPECT_EQ((*instance)->memory().data()[9], std::byte{42});
  EXPECT_EQ((*instance)->memory().data()[10], std::byte{1});
}

TEST_F(Rewrite, AStartFunctionThatTrapsEndsTheSpawn) {
  const auto instance = spawn("(module (memory 1) (func $wreck unreachable) (start $wreck))");
  ASSERT_FALSE(instance.has_value());
  EXPECT_EQ(instance.error().code, ErrorCode::guest_trap);
  EXPECT_THAT(instance.error().message, HasSubstr("wreck"));
}

TEST_F(Rewrite, WhatItExportsIsNotForCallers) {
  auto instance = spawn("(module (memory 1) (func $start) (start $start))").value();
  EXPECT_FALSE(instance->has_export("__driftwood_start"));
  EXPECT_EQ(instance->call("__driftwood_start").error().code, ErrorCode::not_found);
}

TEST_F(Rewrite, AModuleThatUsesReservedNamesIsRefused) {
  for (const char* name : {"__driftwood_start", "__driftwood_global_0", "__driftwood_"}) {
    const Error error = refusal("(module (memory 1) (func (export \"" + std::string(name) + "\")))");
    EXPECT_EQ(error.code, ErrorCode::invalid_argument);
    EXPECT_THAT(error.message, HasSubstr(name));
  }
}

TEST_F(Rewrite, ActiveSegmentsMakeTheFirstImageInTheirOrder) {
  constexpr std::string_view kModule = R"((module (memory 2) (global $base i32 (i32.const 65530))
    (data (i32.const 4) "aaaaaa") (data (i32.const 6) "bb") (data (i32.const 3) "c") (data (i32.const 5) "")
    (data (i32.const 65530) "across pages") (data (i32.const 131070) "zz")))";
  EXPECT_EQ(first_memory(kModule, 2, 9), std::string("\0caabbaa\0", 9));
  EXPECT_EQ(first_memory(kModule, 65530, 12), "across pages");
  EXPECT_EQ(first_memory(kModule, 131070, 2), "zz");
  EXPECT_EQ(compile(kModule)->first_image()->size(), 131072u);
}

TEST_F(Rewrite, SegmentsThatLieApartLeaveZerosBetween) {
  constexpr std::string_view kModule = R"((module (memory 1)
    (data (i32.const 500) "e") (data (i32.const 100) "a") (data (i32.const 110) "b") (data (i32.const 300) "d")))";
  std::string expected(600, '\0');
  expected[100] = 'a', expected[110] = 'b', expected[300] = 'd', expected[500] = 'e';
  EXPECT_EQ(first_memory(kModule, 0, 600), expected);
}

TEST_F(Rewrite, SegmentsThatLieInAnotherLeaveTheRestOfItAlone) {
  constexpr std::string_view kModule = R"((module (memory 1)
    (data (i32.const 100) "aaaaaaaaaa") (data (i32.const 102) "b") (data (i32.const 105) "c")))";
  EXPECT_EQ(first_memory(kModule, 99, 12), std::string("\0aabaacaaaa\0", 12));
}

TEST_F(Rewrite, ASegmentMayNameItsMemory) {
  const unsigned char bytes[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 5, 3, 1, 0, 1, 11, 8, 1, 2, 0, 0x41, 3, 0x0b, 1, 'x'};
  const auto module = std::as_bytes(std::span(bytes));
  rewritten(module);
  const auto program = Program::compile(*engine_, module).value();
  EXPECT_EQ(Instance::create(program, {}).value()->memory().data()[3], std::byte{'x'});
}

TEST_F(Rewrite, OffsetsMayBeComputed) {
  EXPECT_EQ(first_memory(R"((module (memory 1)
    (data (i32.add (i32.mul (i32.const 5) (i32.const 7)) (i32.sub (i32.const 10) (i32.const 3))) "here")))",
                         42, 4),
            "here");
}

TEST_F(Rewrite, ASegmentBeyondTheMemoryIsRefused) {
  const Error error = refusal(R"((module (memory 1) (data (i32.const 0) "fits") (data (i32.const 65535) "no")))");
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_EQ(
      error.message,
      "The module's data segment 1 (2 bytes at 65535) does not lie in its memory, which begins with 65536 bytes.");
  EXPECT_EQ(refusal(R"((module (memory 1) (data (i32.const 65537) "")))").code, ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(R"((module (memory 0) (data (i32.const -1) "x")))").code, ErrorCode::invalid_argument);
  compile(R"((module (memory 1) (data (i32.const 65536) "")))");
}

TEST_F(Rewrite, ASegmentPlacedByAnImportIsRefused) {
  const Error error = refusal(R"((module (import "env" "base" (global $base i32)) (memory 1)
    (data (global.get $base) "where?")))");
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.message, HasSubstr("data segment 0"));
}

TEST_F(Rewrite, PassiveSegmentsStayAndActiveOnesAreDroppedAsBefore) {
  auto instance = spawn(R"((module (memory 1)
    (data $first (i32.const 0) "active") (data $second "passive") (data $third (i32.const 8) "more")
    (func (export "init") (param i32) (memory.init $second (local.get 0) (i32.const 0) (i32.const 7)))
    (func (export "dropped") (param i32) (memory.init $third (i32.const 0) (i32.const 0) (local.get 0)))
    (func (export "drop_active") (data.drop $first))))");
  ASSERT_TRUE(instance.has_value()) << instance.error().message;
  Instance& guest = **instance;
  EXPECT_EQ(std::memcmp(guest.memory().data(), "active\0\0more", 12), 0);
  const std::int32_t at[] = {100};
  EXPECT_TRUE(guest.call("init", at).has_value());
  EXPECT_EQ(std::memcmp(guest.memory().data() + 100, "passive", 7), 0);
  const std::int32_t none[] = {0};
  const std::int32_t one[] = {1};
  EXPECT_TRUE(guest.call("dropped", none).has_value());
  EXPECT_EQ(guest.call("dropped", one).error().code, ErrorCode::guest_trap);
  EXPECT_TRUE(guest.call("drop_active").has_value());
}

TEST_F(Rewrite, TablesThatDoNotChangeAreThereForIndirectCalls) {
  auto instance = spawn(R"((module (memory 1) (type $t (func (result i32))) (table (export "table") 3 funcref)
    (elem (i32.const 1) $one $two) (func $one (result i32) (i32.const 11)) (func $two (result i32) (i32.const 22))
    (func (export "pick") (param i32) (result i32) (call_indirect (type $t) (local.get 0)))
    (func (export "size") (result i32) (table.size 0))))")
                      .value();
  const std::int32_t second[] = {2};
  EXPECT_EQ(instance->call("pick", second).value(), 22);
  EXPECT_EQ(instance->call("size").value(), 3);
}

TEST_F(Rewrite, KnowsTheLengthOfEveryInstruction) {
  // Each body ends with table.set, which is found only when everything before it was read at its right length. An
  // immediate of 6 is no instruction, should it be taken for one.
  for (
      const char* before : {
          "(block (loop (br 1)) (br_if 0 (i32.const 0)))",
          "(if (i32.const 1) (then) (else))",
          "(block (block (br_table 0 1 0 (i32.const 0))))",
          "(drop (select (result i32) (i32.const 1) (i32.const -1) (i32.const 0)))",
          "(drop (i64.const -9223372036854775808))",
          "(drop (i32.const -2147483648))",
          "(drop (f32.const 1.5))",
          "(drop (f64.const nan:0x4000000000001))",
          "(i64.store offset=4294967295 align=1 (i32.const 0) (i64.load32_s (i32.const 0)))",
          "(drop (memory.grow (memory.size)))",
          "(drop (i64.trunc_sat_f64_u (f64.const 1)))",
          "(memory.copy (i32.const 0) (i32.const 0) (i32.const 0))",
          "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))",
          "(drop (v128.const i32x4 1 2 3 4))",
          "(drop (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 31 (v128.load (i32.const 0)) (v128.load64_zero (i32.const 0))))",
          "(drop (i16x8.extract_lane_s 3 (v128.load8x8_s offset=300 (i32.const 0))))",
          "(v128.store32_lane offset=200 2 (i32.const 0) (v128.load16_lane 1 (i32.const 0) (i32x4.splat (i32.const 1))))",
          "(drop (i32x4.relaxed_trunc_f32x4_s (f32x4.relaxed_madd (v128.load (i32.const 0)) (v128.load (i32.const 0)) (v128.load (i32.const 0)))))",
          "(drop (f64x2.promote_low_f32x4 (f64x2.replace_lane 1 (v128.load (i32.const 0)) (f64.const 1))))",
          "(v128.store8_lane offset=6 7 (i32.const 0) (v128.load32_lane offset=6 align=1 1 (i32.const 0) (v128.load64_zero offset=6 align=1 (i32.const 0))))",
          "(drop (v128.load8x8_u offset=6 align=1 (v128.const i8x16 6 6 6 6 6 6 6 6 6 6 6 6 6 6 6 6) (drop) (i32.load offset=6 align=1 (i32.const 6))))",
          "(drop (i8x16.extract_lane_u 6 (i32x4.splat (i32.const 6)))) (drop (f32.const 1e-44)) (drop (i64.const 6))",
          "(drop (ref.is_null (ref.null func)))",
          "(drop (ref.is_null (ref.func $f)))",
          "(drop (table.get 0 (i32.const 0)))",
          "(call $f) (call_indirect (i32.const 0))",
          "(drop (i32.extend8_s (local.tee 0 (global.get 0))))",
      }) {
    SCOPED_TRACE(before);
    const Error error = refusal(
        "(module (memory 1) (table 1 funcref) (global i32 (i32.const 0)) (elem declare func $f) (func $f) (func (export \"x\") (local i32) " +
        std::string(before) + " (table.set 0 (i32.const 0) (ref.null func))))");
    EXPECT_EQ(error.code, ErrorCode::unsupported);
    EXPECT_THAT(error.message, HasSubstr("function 1 holds table.set"));
  }
}

struct Unfreezable {
  const char* wat;
  const char* reason;
};

TEST_F(Rewrite, WhatCannotBeFrozenIsRefusedWithWhereAndWhy) {
  for (const Unfreezable& each : {
           Unfreezable{"(func $tide (table.set 0 (i32.const 0) (ref.null func)))",
                       "function 0 (tide) holds table.set,"},
           {"(func) (func (drop (table.grow 0 (ref.null func) (i32.const 1))))", "function 1 holds table.grow,"},
           {"(func (table.fill 0 (i32.const 0) (ref.null func) (i32.const 1)))", "function 0 holds table.fill,"},
           {"(func (table.copy 0 0 (i32.const 0) (i32.const 0) (i32.const 1)))", "function 0 holds table.copy,"},
           {"(elem func) (func (table.init 0 0 (i32.const 0) (i32.const 0) (i32.const 0)))",
            "function 0 holds table.init,"},
           {"(elem func) (func (elem.drop 0))", "function 0 holds elem.drop,"},
           {"(data (i32.const 0) \"a\") (data \"p\") (func (data.drop 0) (data.drop 1))",
            "function 0 holds data.drop of the passive data segment 1,"},
           {"(global i32 (i32.const 0)) (global (mut funcref) (ref.null func))", "global 1 is a mutable reference"},
       }) {
    SCOPED_TRACE(each.wat);
    const std::string module = "(module (memory 1) (table 2 funcref) " + std::string(each.wat) + ")";
    const Error error = refusal(module);
    EXPECT_EQ(error.code, ErrorCode::unsupported);
    EXPECT_THAT(error.message, HasSubstr(each.reason));

    const auto accepted = compile(module, {.freezable = false});
    EXPECT_FALSE(accepted->freezable());
    EXPECT_EQ(accepted->freeze_obstacle(), error.message);
    EXPECT_TRUE(Instance::create(accepted, {}).has_value());
  }
  const auto freezable = compile("(module (memory 1))");
  EXPECT_TRUE(freezable->freezable());
  EXPECT_EQ(freezable->freeze_obstacle(), "");
}

TEST_F(Rewrite, WhatTheEngineDoesNotAdmitIsRefusedEvenWhenNeverFrozen) {
  const struct {
    const char* module;
    const char* reason;
  } cases[] = {
      {"(module (memory 1 1 shared))", "threads must be enabled for shared memories"},
      {"(module (memory 1) (memory 1))", "multiple memories"},
      {"(module (memory i64 1))", "memory64 must be enabled for 64-bit memories"},
      {"(module (memory 1) (global (mut externref) (ref.null extern)))", "gc types are disallowed"},
  };
  for (const auto& each : cases) {
    const Error error = refusal(each.module, {.freezable = false});
    EXPECT_EQ(error.code, ErrorCode::invalid_argument) << each.module;
    EXPECT_THAT(error.message, HasSubstr(each.reason));
    EXPECT_THAT(error.message, ::testing::StartsWith("The WebAssembly module is not valid: "));
  }
}

TEST_F(Rewrite, AnUnfreezableProgramIsRunAllTheSameWhenNeverFrozen) {
  auto program =
      compile(R"((module (memory 1) (table 2 funcref) (type $t (func (result i32))) (elem declare func $seven)
    (func $seven (result i32) (i32.const 7)) (data (i32.const 0) "data") (global $g (mut funcref) (ref.null func))
    (func (export "swap") (result i32) (table.set 0 (i32.const 1) (ref.func $seven))
      (call_indirect (type $t) (i32.const 1)))))",
              {.freezable = false});
  auto instance = Instance::create(program, {}).value();
  EXPECT_EQ(instance->call("swap").value(), 7);
  EXPECT_EQ(std::memcmp(instance->memory().data(), "data", 4), 0);
  EXPECT_TRUE(instance->globals().empty());
}

TEST_F(Rewrite, BytesThatAreNoModuleAreRefused) {
  const auto module =
      binary(R"((module (import "a" "b" (func)) (memory 1 2) (table 1 funcref) (global (mut i64) (i64.const 5))
    (data (i32.const 9) "text") (func $f (local v128 i32) (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))) (start $f)))");
  ASSERT_TRUE(rewrite_module(module).has_value());
  EXPECT_FALSE(rewrite_module({}).has_value());
  for (std::size_t size = 1; size < module.size(); ++size) {
    static_cast<void>(rewrite_module(std::span(module).first(size)));  // refused, or cut between sections
  }
  const auto huge_count = binary("(module (memory 1) (data \"x\"))");
  for (std::size_t i = 8; i < huge_count.size(); ++i) {
    auto damaged = huge_count;
    damaged[i] = std::byte{0xff};
    static_cast<void>(rewrite_module(damaged));
  }
}

TEST_F(Rewrite, FactsSurviveTheirEncodingAndDamageIsFound) {
  const auto module = binary(R"((module (memory 3 9) (global (mut v128) (v128.const i64x2 1 2)) (func $s) (start $s)
    (data (i32.const 9) "text") (table 1 funcref) (func $grow (table.set 0 (i32.const 0) (ref.null func)))))");
  const ModuleFacts facts = rewrite_module(module).value().facts;
  const auto encoded = facts.encode();
  const ModuleFacts decoded = ModuleFacts::decode(encoded).value();
  EXPECT_EQ(decoded.memory->minimum, 3u);
  EXPECT_EQ(decoded.memory->maximum, 9u);
  EXPECT_EQ(decoded.globals, facts.globals);
  EXPECT_TRUE(decoded.has_start);
  EXPECT_EQ(decoded.freeze_obstacle, facts.freeze_obstacle);
  EXPECT_EQ(decoded.code_shift, facts.code_shift);
  ASSERT_EQ(decoded.data.size(), 1u);
  EXPECT_EQ(decoded.data[0].offset, 9u);
  for (std::size_t size = 0; size < encoded.size(); ++size) {
    EXPECT_EQ(ModuleFacts::decode(std::span(encoded).first(size)).error().code, ErrorCode::corrupt) << size;
  }
}

}  // namespace
}  // namespace driftwood
