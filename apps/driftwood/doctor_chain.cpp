#include "doctor_chain.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/clock.hpp"
#include "device/graph.hpp"
#include "guests.hpp"
#include "hostcalls/guest_host.hpp"
#include "wasm/instance.hpp"

#define DW_HOST
#include "driftwood.h"

namespace driftwood::cli {
namespace {

constexpr int kRounds = 201;
constexpr int kLeastRounds = 11;  ///< on a machine too busy to make them all in kBudget_s
constexpr double kBudget_s = 1.0;
constexpr int kWarmUp = 10;
constexpr std::int32_t kCalls = 20'000;

/// A guest over its memory, with what the calls need.
struct Guest {
  GuestHost host;
  std::unique_ptr<Instance> instance;

  explicit Guest(Device& device) : host(options(device)) {}
  // The host's hold on linear memory ends before the memory does.
  ~Guest() { host.drop_caches(); }

  static GuestHostOptions options(Device& device) {
    GuestHostOptions options;
    options.device = &device;
    options.grants.show_addresses = true;
    return options;
  }
  Result<std::size_t> address(std::string_view function) {
    DW_TRY_ASSIGN(const std::int32_t address, instance->call(function));
    return static_cast<std::size_t>(static_cast<std::uint32_t>(address));
  }
  Result<void> gemm() {
    DW_TRY_ASSIGN(const std::int32_t status, instance->call("gemm"));
    if (status < 0) return fail(ErrorCode::internal, std::string(host.last_error()));
    return {};
  }
};

Result<std::unique_ptr<Guest>> spawn(Engine& engine, Device& device) {
  if (doctor_guest().empty()) {
    return fail(ErrorCode::unsupported, "This build has no guests (DRIFTWOOD_BUILD_GUESTS was off).");
  }
  DW_TRY_ASSIGN(auto program, Program::compile(engine, doctor_guest()));
  auto guest = std::make_unique<Guest>(device);
  InstanceOptions options;
  options.functions = guest_abi_functions();
  options.host = &guest->host;
  options.on_memory = [&host = guest->host](Region& memory) { host.attach(memory); };
  DW_TRY_ASSIGN(guest->instance, Instance::create(std::move(program), options));
  return guest;
}

/// The guest's own product, asked for by the host: the same operands and result in the same place.
Result<std::unique_ptr<Graph>> native_gemm(Guest& guest, Device& device, const Import& import) {
  DW_TRY_ASSIGN(const std::size_t a_offset, guest.address("address_of_a"));
  DW_TRY_ASSIGN(const std::size_t b_offset, guest.address("address_of_b"));
  DW_TRY_ASSIGN(const std::size_t c_offset, guest.address("address_of_c"));
  return Graph::create(device, 8, [&](Graph& graph, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
    ggml_tensor* a = ggml_new_tensor_2d(context, GGML_TYPE_F32, ChainReport::kN, ChainReport::kN);
    ggml_tensor* b = ggml_new_tensor_2d(context, GGML_TYPE_F32, ChainReport::kN, ChainReport::kN);
    DW_TRY(graph.bind(a, import, a_offset));
    DW_TRY(graph.bind(b, import, b_offset));
    ggml_tensor* c = ggml_mul_mat(context, a, b);
    DW_TRY(graph.bind(c, import, c_offset));
    ggml_build_forward_expand(nodes, c);
    return {};
  });
}

/// True while a measurement that has made `rounds` shall make another one.
bool goes_on(int rounds, const Stopwatch& watch) {
  return rounds < kLeastRounds || (rounds < kRounds && watch.elapsed_s() < kBudget_s);
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

Result<void> check_product(Guest& guest, ChainReport& report) {
  DW_TRY(guest.instance->call("fill"));
  DW_TRY(guest.gemm());
  DW_TRY_ASSIGN(report.errors, guest.instance->call("errors"));
  DW_TRY_ASSIGN(const std::size_t address, guest.address("get_info"));
  Region& memory = guest.instance->memory();
  dw_info info{};
  if (!ByteRange{address, sizeof(info)}.within(memory.size())) {
    return fail(ErrorCode::internal, std::string(guest.host.last_error()));
  }
  std::memcpy(&info, memory.data() + address, sizeof(info));
  const auto host = reinterpret_cast<std::uintptr_t>(memory.data());
  report.same_pointer = info.host_base == host && info.device_base == host;
  report.bytes_copied = info.bytes_copied;
  if (report.errors != 0) {
    return fail(ErrorCode::internal, "The guest finds " + std::to_string(report.errors) + " of " +
                                         std::to_string(ChainReport::kN * ChainReport::kN) +
                                         " elements of its product wrong.");
  }
  return {};
}

Result<void> measure_gemm(Guest& guest, Device& device, ChainReport& report) {
  Region& memory = guest.instance->memory();
  DW_TRY_ASSIGN(const Import import, device.import(memory, {0, memory.size()}, Require::any));
  report.sharing = to_string(import.sharing());
  DW_TRY_ASSIGN(const auto graph, native_gemm(guest, device, import));
  std::vector<double> guest_us;
  std::vector<double> native_us;
  const Stopwatch all;
  for (int round = -kWarmUp; goes_on(round, all); ++round) {
    Stopwatch guest_watch;
    DW_TRY(guest.gemm());
    const double by_guest = guest_watch.elapsed_us();
    Stopwatch native_watch;
    DW_TRY(graph->run());
    const double by_host = native_watch.elapsed_us();
    if (round < 0) continue;
    guest_us.push_back(by_guest);
    native_us.push_back(by_host);
  }
  report.gemm_guest_us = median(guest_us);
  report.gemm_native_us = median(native_us);
  return {};
}

Result<void> measure_host_call(Guest& guest, ChainReport& report) {
  std::vector<double> us;
  const Stopwatch all;
  for (int round = -kWarmUp; goes_on(round, all); ++round) {
    Stopwatch watch;
    DW_TRY(guest.instance->call("host_calls", {{kCalls}}));
    if (round >= 0) us.push_back(watch.elapsed_us() / kCalls);
  }
  report.host_call_us = median(us);
  return {};
}

Result<void> examine(Engine& engine, Device& device, ChainReport& report) {
  DW_TRY_ASSIGN(const auto guest, spawn(engine, device));
  DW_TRY(check_product(*guest, report));
  DW_TRY(measure_gemm(*guest, device, report));
  return measure_host_call(*guest, report);
}

}  // namespace

ChainReport examine_chain(Engine& engine, Device& device) {
  ChainReport report;
  const auto outcome = examine(engine, device, report);
  report.ok = outcome.has_value();
  if (!outcome) report.problem = outcome.error().to_string();
  return report;
}

}  // namespace driftwood::cli
