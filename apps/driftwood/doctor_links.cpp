#include "doctor_links.hpp"

#include <algorithm>
#include <cstring>

#include "device/graph.hpp"
#include "doctor_chain.hpp"
#include "guests.hpp"
#include "hostcalls/guest_host.hpp"
#include "memory/region.hpp"
#include "wasm/instance.hpp"

namespace driftwood::cli {
namespace {

/// Turns a check that returns an error into a report.
template <typename Report>
Report& conclude(Report& report, const Result<void>& outcome) {
  report.ok = outcome.has_value();
  if (!outcome) report.problem = outcome.error().to_string();
  return report;
}

std::unexpected<Error> broken(std::string sentence) { return fail(ErrorCode::internal, std::move(sentence)); }

Result<void> check_memory() {
  const std::size_t page = page_size();
  DW_TRY_ASSIGN(const auto region, Region::create({.reserve = 64 * page, .commit = page, .guard = page}));
  const std::byte* base = region->data();
  region->bytes()[0] = std::byte{42};
  DW_TRY(region->grow(64 * page));
  if (region->data() != base || region->bytes()[0] != std::byte{42}) {
    return broken("A Region moved or lost its bytes when it grew.");
  }
  const auto fresh = region->bytes().subspan(page);
  if (!std::ranges::all_of(fresh, [](std::byte b) { return b == std::byte{0}; })) {
    return broken("Fresh bytes of a Region are not zero.");
  }
  DW_TRY_ASSIGN(const Pin pin, region->pin({0, page}));
  if (region->pins({0, page}) != 1) return broken("A Region does not count its pins.");
  if (region->grow(65 * page)) return broken("A Region grew beyond its reservation.");
  return {};
}

/// y = x * 3 over `count` floats of an import: x at its start, y behind it.
Result<void> triple(Device& device, const Import& import, std::size_t count) {
  const auto build = [&](Graph& graph, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
    ggml_tensor* x = ggml_new_tensor_1d(context, GGML_TYPE_F32, static_cast<std::int64_t>(count));
    DW_TRY(graph.bind(x, import, 0));
    ggml_tensor* y = ggml_scale(context, x, 3.0F);
    DW_TRY(graph.bind(y, import, count * sizeof(float)));
    ggml_build_forward_expand(nodes, y);
    return {};
  };
  DW_TRY_ASSIGN(const auto graph, Graph::create(device, 8, build));
  return graph->run();
}

Result<void> check_sharing(Device& device, DeviceReport& report) {
  const std::size_t size = 16 * page_size();
  const std::size_t count = size / 2 / sizeof(float);
  DW_TRY_ASSIGN(const auto region, Region::create({.reserve = size, .commit = size}));
  DW_TRY_ASSIGN(const Import import, device.import(*region, {0, size}, Require::any));
  report.sharing = to_string(import.sharing());
  report.same_pointer = import.device_address(0) == region->data();
  auto* values = reinterpret_cast<float*>(region->data());
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i % 1000);
  DW_TRY(triple(device, import, count));
  for (std::size_t i = 0; i < count; ++i) {
    if (values[count + i] != 3.0F * static_cast<float>(i % 1000)) {
      return broken("The device computed " + std::to_string(values[count + i]) + " where " +
                    std::to_string(3 * (i % 1000)) + " is right.");
    }
  }
  return {};
}

Result<void> check_device(Engine& engine, const DeviceOptions& options, DeviceReport& report) {
  DW_TRY_ASSIGN(const auto device, open_device(report.name, options));
  report.in_worker = device->info().in_worker;
  DW_TRY(check_sharing(*device, report));
  report.chain = examine_chain(engine, *device);
  if (!report.chain.ok) return broken(report.chain.problem);
  return {};
}

Result<void> check_wasm(Engine& engine, WasmReport& report) {
  if (doctor_guest().empty()) {
    return fail(ErrorCode::unsupported, "This build has no guests (DRIFTWOOD_BUILD_GUESTS was off).");
  }
  DW_TRY_ASSIGN(auto program, Program::compile(engine, doctor_guest()));
  GuestHost host(GuestHostOptions{});
  InstanceOptions options;
  options.functions = guest_abi_functions();
  options.host = &host;
  options.on_memory = [&](Region& memory) { host.attach(memory); };
  DW_TRY_ASSIGN(const auto instance, Instance::create(std::move(program), options));
  Region& memory = instance->memory();
  std::byte* base = memory.data();
  DW_TRY_ASSIGN(const std::int32_t address, instance->call("address_of_a"));
  DW_TRY_ASSIGN(const std::int32_t old_pages, instance->call("grow", {{16}}));
  const std::int32_t last = (old_pages + 16) * 65536 - 4;
  report.same_pointer = memory.data() == base && static_cast<std::size_t>(last) + 4 == memory.size();
  if (!report.same_pointer) return broken("Linear memory and its Region differ in place or size after growing.");
  for (const std::int32_t place : {address, last}) {
    std::int32_t value = 0x5eed;
    std::memcpy(base + place, &value, sizeof(value));
    DW_TRY_ASSIGN(const std::int32_t seen, instance->call("load", {{place}}));
    DW_TRY(instance->call("store", {{place, 0x0dd5}}));
    std::memcpy(&value, base + place, sizeof(value));
    report.same_pointer = report.same_pointer && seen == 0x5eed && value == 0x0dd5;
  }
  if (!report.same_pointer) return broken("The guest and the Region do not see each other's stores.");
  return {};
}

}  // namespace

LinkReport examine_memory() {
  LinkReport report;
  return conclude(report, check_memory());
}

DeviceReport examine_device(Engine& engine, const std::string& name, const DeviceOptions& options) {
  DeviceReport report;
  report.name = name;
  return conclude(report, check_device(engine, options, report));
}

WasmReport examine_wasm(Engine& engine) {
  WasmReport report;
  return conclude(report, check_wasm(engine, report));
}

}  // namespace driftwood::cli
