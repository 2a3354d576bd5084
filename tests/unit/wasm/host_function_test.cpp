#include <vector>

#include "wasm_fixture.hpp"

namespace driftwood {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Host {
  std::int64_t total = 0;
};

const HostFunction kFunctions[] = {
    {"host", "mix", "iIfF", "F",
     [](void*, wasmtime_val_raw_t* slots) {
       slots[0].f64 = static_cast<double>(slots[0].i32) + static_cast<double>(slots[1].i64) +
                      static_cast<double>(slots[2].f32) + slots[3].f64;
     }},
    {"host", "negate_i32", "i", "i", [](void*, wasmtime_val_raw_t* slots) { slots[0].i32 = -slots[0].i32; }},
    {"host", "negate_i64", "I", "I", [](void*, wasmtime_val_raw_t* slots) { slots[0].i64 = -slots[0].i64; }},
    {"host", "negate_f32", "f", "f", [](void*, wasmtime_val_raw_t* slots) { slots[0].f32 = -slots[0].f32; }},
    {"host", "negate_f64", "F", "F", [](void*, wasmtime_val_raw_t* slots) { slots[0].f64 = -slots[0].f64; }},
    {"host", "add", "i", "",
     [](void* host, wasmtime_val_raw_t* slots) { static_cast<Host*>(host)->total += slots[0].i32; }},
};

using HostFunctions = WasmTest;

TEST_F(HostFunctions, GetArgumentsAndGiveResultsOfEveryType) {
  auto instance = spawn(R"((module
      (import "host" "mix" (func $mix (param i32 i64 f32 f64) (result f64)))
      (import "host" "negate_i32" (func $i32 (param i32) (result i32)))
      (import "host" "negate_i64" (func $i64 (param i64) (result i64)))
      (import "host" "negate_f32" (func $f32 (param f32) (result f32)))
      (import "host" "negate_f64" (func $f64 (param f64) (result f64)))
      (memory 1)
      (func (export "mix") (result i32) (f64.eq (f64.const 111110000001.75)
        (call $mix (i32.const -8) (i64.const 111110000009) (f32.const 0.5) (f64.const 0.25))))
      (func (export "i32") (result i32) (call $i32 (i32.const 7)))
      (func (export "i64") (result i32)
        (i64.eq (call $i64 (i64.const 0x123456789abc)) (i64.const -0x123456789abc)))
      (func (export "f32") (result i32) (f32.eq (call $f32 (f32.const 1.5)) (f32.const -1.5)))
      (func (export "f64") (result i32) (f64.eq (call $f64 (f64.const 1e300)) (f64.const -1e300)))
    ))",
                        {.functions = kFunctions})
                      .value();
  EXPECT_EQ(instance->call("mix").value(), 1);
  EXPECT_EQ(instance->call("i32").value(), -7);
  for (const char* name : {"i64", "f32", "f64"}) EXPECT_EQ(instance->call(name).value(), 1) << name;
}

TEST_F(HostFunctions, GetTheHostDataOfTheirOwnInstance) {
  const auto program = compile(R"((module (import "host" "add" (func $add (param i32))) (memory 1)
      (func (export "add") (param i32) (call $add (local.get 0)))))");
  Host a;
  Host b;
  auto first = Instance::create(program, {.functions = kFunctions, .host = &a}).value();
  auto second = Instance::create(program, {.functions = kFunctions, .host = &b}).value();
  EXPECT_TRUE(first->call("add", std::vector<std::int32_t>{1}).has_value());
  EXPECT_TRUE(second->call("add", std::vector<std::int32_t>{20}).has_value());
  EXPECT_TRUE(first->call("add", std::vector<std::int32_t>{300}).has_value());
  EXPECT_EQ(a.total, 301);
  EXPECT_EQ(b.total, 20);
}

TEST_F(HostFunctions, OfAnotherTableServeTheSameProgram) {
  const auto program = compile(R"((module (import "host" "value" (func $value (result i32)))
      (memory 1)
      (func (export "value") (result i32) (call $value))))");
  HostFunction table[] = {{"host", "value", "", "i", [](void*, wasmtime_val_raw_t* slots) { slots[0].i32 = 1; }}};
  auto first = Instance::create(program, {.functions = table}).value();
  table[0].callback = [](void*, wasmtime_val_raw_t* slots) { slots[0].i32 = 2; };
  auto second = Instance::create(program, {.functions = table}).value();
  EXPECT_EQ(first->call("value").value(), 1);
  EXPECT_EQ(second->call("value").value(), 2);
}

TEST_F(HostFunctions, ThatAreMissingAreNamedInOneSentence) {
  const auto instance = spawn(R"((module
      (import "host" "add" (func (param i32)))
      (import "host" "absent" (func))
      (import "other" "also_absent" (func (result i64)))
      (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_wave" (func))
      (import "env" "table" (table 1 funcref))
      (memory 1)))",
                              {.functions = kFunctions});
  ASSERT_FALSE(instance.has_value());
  EXPECT_EQ(instance.error().code, ErrorCode::not_found);
  EXPECT_EQ(instance.error().message,
            "The program imports 4 things that the host does not have: host.absent, other.also_absent, "
            "wasi_snapshot_preview1.fd_wave, env.table.");
}

TEST_F(HostFunctions, ImportedUnderAnotherTypeAreRefused) {
  const auto instance =
      spawn(R"((module (import "host" "add" (func (param i64))) (memory 1)))", {.functions = kFunctions});
  ASSERT_FALSE(instance.has_value());
  EXPECT_EQ(instance.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(instance.error().message, AllOf(HasSubstr("host::add"), HasSubstr("i64")));
}

TEST_F(HostFunctions, OfAnUnknownTypeLetterAreADefectOfTheHost) {
  const HostFunction table[] = {{"host", "f", "ix", "", [](void*, wasmtime_val_raw_t*) {}}};
  const auto instance = spawn("(module (memory 1))", {.functions = table});
  ASSERT_FALSE(instance.has_value());
  EXPECT_EQ(instance.error().code, ErrorCode::internal);
}

}  // namespace
}  // namespace driftwood
