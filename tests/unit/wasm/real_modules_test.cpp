// Real programs, rewritten, against the same module in plain Wasmtime: the same results and the same memory at each
// step, and the same again when the Instance is frozen and resumed between the steps.

#include <algorithm>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "memory/image.hpp"
#include "plain_wasmtime.hpp"
#include "wasm/module/rewrite.hpp"
#include "wasm_fixture.hpp"

namespace driftwood {
namespace {

/// What the programs see instead of the world: each call of the host gives 0, and random numbers are none.
struct World {
  std::function<std::span<std::byte>()> memory;
  std::uint64_t clock = 0;
};

void give_zero(void* /*host*/, wasmtime_val_raw_t* slots) { slots[0].i64 = 0; }
void give_nothing(void* /*host*/, wasmtime_val_raw_t* /*slots*/) {}

void random_get(void* host, wasmtime_val_raw_t* slots) {
  const auto bytes = static_cast<World*>(host)->memory();
  std::memset(bytes.data() + static_cast<std::uint32_t>(slots[0].i32), 0x5a, static_cast<std::uint32_t>(slots[1].i32));
  slots[0].i32 = 0;
}

void clock_time_get(void* host, wasmtime_val_raw_t* slots) {
  auto& world = *static_cast<World*>(host);
  world.clock += 1000;
  std::memcpy(world.memory().data() + static_cast<std::uint32_t>(slots[2].i32), &world.clock, 8);
  slots[0].i32 = 0;
}

/// A host function for each import of a module that is not WASI's.
class Stubs {
 public:
  explicit Stubs(const wasmtime_module_t* module) {
    add("wasi_snapshot_preview1", "random_get", "ii", "i", random_get);
    add("wasi_snapshot_preview1", "clock_time_get", "iIi", "i", clock_time_get);
    WasmImports imports;
    wasmtime_module_imports(module, &imports);
    for (const wasm_importtype_t* import : imports) {
      const auto from = text_of(*wasm_importtype_module(import));
      if (from == "wasi_snapshot_preview1") continue;
      const wasm_functype_t* type = wasm_externtype_as_functype_const(wasm_importtype_type(import));
      add(std::string(from), std::string(text_of(*wasm_importtype_name(import))), letters(*wasm_functype_params(type)),
          letters(*wasm_functype_results(type)), wasm_functype_results(type)->size == 0 ? give_nothing : give_zero);
    }
  }
  std::span<const HostFunction> functions() const { return functions_; }

 private:
  static std::string letters(const wasm_valtype_vec_t& types) {
    std::string result;
    for (std::size_t i = 0; i < types.size; ++i) result += "iIfF"[wasm_valtype_kind(types.data[i])];
    return result;
  }
  void add(std::string module, std::string name, std::string parameters, std::string results,
           HostFunction::Callback callback) {
    const auto keep = [this](std::string text) -> std::string_view { return texts_.emplace_back(std::move(text)); };
    functions_.push_back({.module = keep(std::move(module)),
                          .name = keep(std::move(name)),
                          .parameters = keep(std::move(parameters)),
                          .results = keep(std::move(results)),
                          .callback = callback});
  }

  std::deque<std::string> texts_;
  std::vector<HostFunction> functions_;
};

struct Step {
  std::string function;
  std::vector<std::int32_t> arguments;
};

class RealModules : public testing::TestWithParam<const char*> {
 protected:
  RealModules() : engine_(Engine::create().value()) {}

  InstanceOptions options(const Stubs& stubs, World& world) const {
    InstanceOptions result;
    result.functions = stubs.functions();
    result.host = &world;
    result.on_memory = [&world](Region& region) { world.memory = [&region] { return region.bytes(); }; };
    result.wasi.arguments = {"probe", "arguments", "one", "two"};
    result.limits.run_time = std::chrono::seconds(60);
    return result;
  }

  static std::vector<Step> steps_of(const Instance& instance) {
    if (instance.has_export("_start")) return {{"_start", {}}};
    std::vector<Step> steps;
    for (std::int32_t i = 1; i <= 12; ++i) {
      if (instance.has_export("add")) steps.push_back({"add", {i * 37}});
      if (instance.has_export("driftwood_receive")) steps.push_back({"driftwood_receive", {}});
    }
    return steps;
  }

  static std::optional<std::int32_t> call(Instance& instance, const Step& step) {
    const auto result = instance.call(step.function, step.arguments);
    EXPECT_TRUE(result || result.error().message.find("longer than its limit") == std::string::npos);
    return result ? std::optional(*result) : std::nullopt;
  }

  static void expect_same(std::span<const std::byte> expected, std::span<const std::byte> got) {
    ASSERT_EQ(expected.size(), got.size());
    const auto difference = std::ranges::mismatch(expected, got);
    ASSERT_EQ(difference.in1, expected.end()) << "at " << difference.in1 - expected.begin();
  }

  std::unique_ptr<Engine> engine_;
};

TEST_P(RealModules, BehaveAsInPlainWasmtimeAlsoWhenFrozenBetweenTheSteps) {
  const std::string path = GetParam();
  if (!path.ends_with(".wasm")) GTEST_SKIP() << path;
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto module = bytes_of(text);

  const auto program = Program::compile(*engine_, module);
  ASSERT_TRUE(program.has_value()) << program.error().to_string();
  const Stubs stubs((*program)->handle());
  World plain_world;
  PlainWasmtime plain(module, stubs.functions(), &plain_world, {"probe", "arguments", "one", "two"});
  ASSERT_EQ(plain.failure(), "");
  plain_world.memory = [&plain] { return plain.memory(); };
  if (!plain.has_export("_start")) plain.call("_initialize");

  World world, frozen_world;
  const auto instance = Instance::create(*program, options(stubs, world));
  ASSERT_TRUE(instance.has_value()) << instance.error().to_string();
  auto frozen = Instance::create(*program, options(stubs, frozen_world)).value();
  expect_same(plain.memory(), (*instance)->memory().bytes());

  const auto steps = steps_of(**instance);
  ASSERT_FALSE(steps.empty());
  std::set<std::optional<std::int32_t>> results;
  for (const Step& step : steps) {
    SCOPED_TRACE(step.function);
    const auto expected = plain.call(step.function, step.arguments);
    results.insert(expected);
    ASSERT_EQ(call(**instance, step), expected);
    expect_same(plain.memory(), (*instance)->memory().bytes());

    ASSERT_EQ(call(*frozen, step), expected);
    expect_same(plain.memory(), frozen->memory().bytes());
    if (step.function == "_start" || !expected) break;
    const auto image = frozen->memory().seal().value();
    InstanceState state{Region::create_over(image, linear_memory_options(image->size())).value(), frozen->globals()};
    frozen = Instance::resume(*program, std::move(state), options(stubs, frozen_world)).value();
    ASSERT_EQ(frozen->globals(), (*instance)->globals());
  }
  if (steps.front().function == "add") {  // it has a state
    EXPECT_EQ(results.size(), steps.size());
  }
}

INSTANTIATE_TEST_SUITE_P(, RealModules, testing::Values(DW_TEST_MODULES), [](const auto& module) {
  std::string name = std::filesystem::path(module.param).stem().string();
  std::ranges::replace_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name + "_" + std::to_string(module.index);
});

}  // namespace
}  // namespace driftwood
