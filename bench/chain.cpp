// The zero-copy chain: what an import, a host call and a guest's GEMM cost.

#include "chain.hpp"

#include <fmt/format.h>

#include "benchmark.hpp"
#include "core/clock.hpp"
#include "guests.hpp"
#include "hostcalls/guest_abi.hpp"
#include "interleave.hpp"

namespace driftwood::bench {
namespace {

/// In one loop: long enough for the clock, short enough to fit between two interruptions.
constexpr std::int32_t kCalls = 100'000;
constexpr Rounds kRounds{.warm_up = 2, .at_most = 500, .at_least = 10, .seconds = 20};
constexpr Rounds kShortRounds{.warm_up = 1, .at_most = 50, .at_least = 10, .seconds = 1};

/// Nanoseconds for each of kCalls calls that the guest makes in a loop; `sum` is what they give together.
Result<double> time_calls(Guest& guest, std::string_view loop, std::int32_t sum) {
  const Stopwatch watch;
  DW_TRY_ASSIGN(const std::int32_t given, guest.call(loop, {{kCalls}}));
  const double ns = static_cast<double>(watch.elapsed_ns()) / kCalls;
  if (given == sum) return ns;
  return fail(ErrorCode::internal,
              fmt::format("The guest's {} of {} calls gave {} instead of {}.", loop, kCalls, given, sum));
}

Result<void> measure_calls(Guest& guest, bool short_run, Report& report) {
  const Measurement loops[] = {[&] { return time_calls(guest, "host_calls", kCalls * DW_ABI_VERSION); },
                               [&] { return time_calls(guest, "info_calls", kCalls); }};
  DW_TRY_ASSIGN(auto ns, interleave(loops, short_run ? kShortRounds : kRounds));
  report.add({.name = "host_call_ns",
              .unit = "ns",
              .better = Better::less,
              .counts = "one call of dw_abi_version, the cheapest, in a guest's loop of 100,000, the loop included",
              .summary = summarize(std::move(ns[0])),
              .goal = 25});
  report.add({.name = "info_call_ns",
              .unit = "ns",
              .better = Better::less,
              .counts = "likewise dw_get_info, which checks a pointer and writes 80 bytes through it",
              .summary = summarize(std::move(ns[1])),
              .goal = {}});
  return {};
}

}  // namespace

Result<Report> run_chain(const Options& options) {
  Report report("chain");
  DW_TRY_ASSIGN(const auto engine, Engine::create());
  DW_TRY_ASSIGN(const auto device,
                open_device(options.device.empty() ? "cpu" : options.device, {.threads = options.threads}));
  report.add_fact("device", device->info().name);
  report.add_fact("threads", device->info().threads);
  report.add_fact("sharing", to_string(device->info().capabilities.import_sharing));

  say("chain: resident memory of an import");
  DW_TRY(measure_rss(*device, options.short_run, report));
  GuestHostOptions host;
  host.device = device.get();
  DW_TRY_ASSIGN(const auto guest, Guest::spawn(*engine, chain_guest(), std::move(host)));
  say("chain: calls into the host");
  DW_TRY(measure_calls(*guest, options.short_run, report));
  say("chain: GEMM by the guest and natively");
  DW_TRY(measure_gemm(*device, *guest, {.short_run = options.short_run, .suffix = {}}, report));
  report.add_fact("bytes_copied", device->bytes_copied());
  return report;
}

}  // namespace driftwood::bench
