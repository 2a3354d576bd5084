#include <cstring>
#include <vector>

#include "wasm_fixture.hpp"

namespace driftwood {
namespace {

using testing::HasSubstr;

constexpr std::string_view kMemoryGuest = R"((module
  (memory (export "memory") 2 1000)
  (data (i32.const 100) "driftwood")
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "size") (result i32) (memory.size))))";

std::int32_t call(Instance& instance, std::string_view name, std::vector<std::int32_t> arguments = {}) {
  auto result = instance.call(name, arguments);
  EXPECT_TRUE(result.has_value()) << result.error().to_string();
  return result.value_or(-12345);
}

using InstanceMemory = WasmTest;

TEST_F(InstanceMemory, TheRegionIsTheGuestsLinearMemory) {
  auto instance = spawn(kMemoryGuest).value();
  Region& region = instance->memory();
  ASSERT_EQ(region.size(), 2 * kWasmPage);
  EXPECT_EQ(std::memcmp(region.data() + 100, "driftwood", 9), 0);

  const std::int32_t from_host = 0x12345678;
  std::memcpy(region.data() + 4096, &from_host, 4);
  EXPECT_EQ(call(*instance, "load", {4096}), from_host);

  call(*instance, "store", {8192, -77});
  std::int32_t from_guest = 0;
  std::memcpy(&from_guest, region.data() + 8192, 4);
  EXPECT_EQ(from_guest, -77);
}

TEST_F(InstanceMemory, GrowKeepsItsBaseAddressAndBytes) {
  auto instance = spawn(kMemoryGuest).value();
  const std::byte* base = instance->memory().data();
  call(*instance, "store", {4, 42});
  EXPECT_EQ(call(*instance, "grow", {500}), 2);
  EXPECT_EQ(instance->memory().data(), base);
  EXPECT_EQ(instance->memory().size(), 502 * kWasmPage);
  EXPECT_EQ(call(*instance, "load", {4}), 42);
  call(*instance, "store", {static_cast<std::int32_t>(502 * kWasmPage - 4), 7});
  EXPECT_EQ(instance->memory().data()[502 * kWasmPage - 4], std::byte{7});
}

TEST_F(InstanceMemory, GrowBeyondTheLimitGivesTheGuestMinusOne) {
  auto instance = spawn(kMemoryGuest, {.limits = {.memory_bytes = 3 * kWasmPage}}).value();
  EXPECT_EQ(call(*instance, "grow", {2}), -1);
  EXPECT_EQ(call(*instance, "size"), 2);
  EXPECT_EQ(call(*instance, "grow", {1}), 2);
  EXPECT_EQ(call(*instance, "grow", {1}), -1);
  EXPECT_EQ(instance->memory().size(), 3 * kWasmPage);
}

TEST_F(InstanceMemory, GrowBeyondTheGuestsOwnMaximumGivesTheGuestMinusOne) {
  auto instance = spawn(kMemoryGuest).value();
  EXPECT_EQ(call(*instance, "grow", {999}), -1);
  EXPECT_EQ(call(*instance, "grow", {-1}), -1);
}

TEST_F(InstanceMemory, StartingWithMoreThanTheLimitIsOutOfMemory) {
  const auto instance = spawn(kMemoryGuest, {.limits = {.memory_bytes = kWasmPage}});
  ASSERT_FALSE(instance.has_value());
  EXPECT_EQ(instance.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(instance.error().message, HasSubstr("memory"));
}

TEST_F(InstanceMemory, TableGrowBeyondTheLimitGivesTheGuestMinusOne) {
  constexpr std::string_view kTable = R"((module (memory 1) (table 10 funcref)
    (func (export "grow") (param i32) (result i32) (table.grow (ref.null func) (local.get 0)))))";
  const auto program = compile(kTable, {.freezable = false});
  auto instance = Instance::create(program, {.limits = {.table_elements = 20}}).value();
  EXPECT_EQ(call(*instance, "grow", {11}), -1);
  EXPECT_EQ(call(*instance, "grow", {10}), 10);

  const auto refused = Instance::create(program, {.limits = {.table_elements = 9}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(refused.error().message, HasSubstr("table"));
}

TEST_F(InstanceMemory, AModuleWithoutMemoryIsRefused) {
  const auto instance = spawn("(module)");
  ASSERT_FALSE(instance.has_value());
  EXPECT_EQ(instance.error().code, ErrorCode::invalid_argument);
}

TEST_F(InstanceMemory, AnEmptyMemoryCanGrow) {
  auto instance = spawn(R"((module (memory 0)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))))");
  ASSERT_TRUE(instance.has_value()) << instance.error().to_string();
  EXPECT_EQ((*instance)->memory().size(), 0u);
  EXPECT_EQ(call(**instance, "grow", {1}), 0);
  EXPECT_EQ((*instance)->memory().size(), kWasmPage);
}

TEST_F(InstanceMemory, IsKnownToTheHostBeforeTheGuestsFirstInstruction) {
  struct Host {
    Region* memory = nullptr;
    std::int32_t seen = 0;
  } host;
  const HostFunction functions[] = {{"host", "look", "", "", [](void* data, wasmtime_val_raw_t*) {
                                       auto& self = *static_cast<Host*>(data);
                                       std::memcpy(&self.seen, self.memory->data() + 8, 4);
                                     }}};
  auto instance =
      spawn(R"((module (import "host" "look" (func $look))
      (memory 1) (data (i32.const 8) "\2a\00\00\00") (start $look)))",
            {.functions = functions, .host = &host, .on_memory = [&](Region& region) { host.memory = &region; }});
  ASSERT_TRUE(instance.has_value()) << instance.error().to_string();
  EXPECT_EQ(host.memory, &(*instance)->memory());
  EXPECT_EQ(host.seen, 42);
}

TEST_F(InstanceMemory, AHundredInstancesOfOneProgramDoNotSeeEachOther) {
  const auto program = compile(kMemoryGuest);
  std::vector<std::unique_ptr<Instance>> instances;
  for (int i = 0; i < 100; ++i) {
    instances.push_back(Instance::create(program, {}).value());
    call(*instances.back(), "store", {256, i});
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(call(*instances[i], "load", {256}), i);
}

}  // namespace
}  // namespace driftwood
