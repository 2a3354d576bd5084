#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "apps/driftwood/machine.hpp"
#include "chain.hpp"
#include "core/bytes.hpp"
#include "device/graph.hpp"
#include "interleave.hpp"

namespace driftwood::bench {
namespace {

constexpr std::size_t kRange = 16 * kMiB;
constexpr std::size_t kFloats = kRange / sizeof(float);
constexpr double kMegabyte = 1e6;
constexpr Rounds kRounds{.warm_up = 2, .at_most = 25, .at_least = 5, .seconds = 10};
constexpr Rounds kShortRounds{.warm_up = 2, .at_most = 5, .at_least = 3, .seconds = 1};

std::span<float> floats_of(Region& region) { return {reinterpret_cast<float*>(region.data()), kFloats}; }

Result<std::unique_ptr<Region>> written_region() {
  DW_TRY_ASSIGN(auto region, Region::create({.reserve = kRange, .commit = kRange}));
  std::ranges::fill(floats_of(*region), 7.0F);
  return region;
}

/// Doubles every float of the import, where it lies.
Result<void> double_all(Device& device, const Import& import) {
  const auto build = [&](Graph& graph, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
    ggml_tensor* x = ggml_new_tensor_1d(context, GGML_TYPE_F32, static_cast<std::int64_t>(kFloats));
    DW_TRY(graph.bind(x, import, 0));
    ggml_build_forward_expand(nodes, ggml_scale_inplace(context, x, 2.0F));
    return {};
  };
  DW_TRY_ASSIGN(const auto graph, Graph::create(device, 8, build));
  return graph->run();
}

Result<double> megabytes_since(std::uint64_t before) {
  DW_TRY_ASSIGN(const std::uint64_t now, cli::resident_bytes());
  return (static_cast<double>(now) - static_cast<double>(before)) / kMegabyte;
}

Result<double> growth_by_import(Device& device) {
  DW_TRY_ASSIGN(const auto region, written_region());
  DW_TRY_ASSIGN(const std::uint64_t before, cli::resident_bytes());
  DW_TRY_ASSIGN(const Import import, device.import(*region, {0, kRange}, Require::any));
  DW_TRY(double_all(device, import));
  DW_TRY_ASSIGN(const double growth, megabytes_since(before));
  const auto wrong = std::ranges::count_if(floats_of(*region), [](float x) { return x != 14.0F; });
  if (wrong == 0) return growth;
  return fail(ErrorCode::internal, fmt::format("The device left {} of {} floats wrong.", wrong, kFloats));
}

Result<double> growth_by_copy() {
  DW_TRY_ASSIGN(const auto region, written_region());
  DW_TRY_ASSIGN(const std::uint64_t before, cli::resident_bytes());
  // Fresh pages each time: the heap would hand out those of the copy before.
  DW_TRY_ASSIGN(const auto copy, Region::create({.reserve = kRange, .commit = kRange}));
  std::memcpy(copy->data(), region->data(), kRange);
  DW_TRY_ASSIGN(const double growth, megabytes_since(before));
  if (std::memcmp(copy->data(), region->data(), kRange) == 0) return growth;
  return fail(ErrorCode::internal, "A copy of 16 MiB differs from what was copied.");
}

}  // namespace

Result<void> measure_rss(Device& device, bool short_run, Report& report) {
  const Measurement sides[] = {[&] { return growth_by_import(device); }, growth_by_copy};
  DW_TRY_ASSIGN(auto growth, interleave(sides, short_run ? kShortRounds : kRounds));
  report.add({.name = "rss_delta_mb",
              .unit = "MB",
              .better = Better::less,
              .counts = "resident memory (10^6 bytes) that an import of 16 MiB of a written Region adds, with one pass "
                        "of the device over all of it",
              .summary = summarize(std::move(growth[0])),
              .goal = 0.03});
  report.add({.name = "rss_copy_mb",
              .unit = "MB",
              .better = Better::less,
              .counts = "the same for an explicit copy of those 16 MiB",
              .summary = summarize(std::move(growth[1])),
              .goal = {}});
  return {};
}

}  // namespace driftwood::bench
