#include <fmt/format.h>

#include <vector>

#include "chain.hpp"
#include "core/clock.hpp"
#include "device/graph.hpp"
#include "interleave.hpp"

namespace driftwood::bench {
namespace {

constexpr Rounds kRounds{.warm_up = 20, .at_most = 1500, .at_least = 25, .seconds = 20};
constexpr Rounds kShortRounds{.warm_up = 5, .at_most = 150, .at_least = 3, .seconds = 2};

/// The guest's own products, asked for by the host: the same operands and results in the same places, `part` of them.
Result<std::unique_ptr<Graph>> native_gemm(Device& device, Guest& guest, const Import& import,
                                           const GemmOptions& options, std::int64_t part) {
  const std::int64_t n = options.n;
  const std::int64_t rows = n / options.parts;
  const std::size_t bytes = static_cast<std::size_t>(n) * static_cast<std::size_t>(n) * sizeof(float);
  const std::size_t from = static_cast<std::size_t>(part * rows * n) * sizeof(float);
  DW_TRY_ASSIGN(const std::size_t a_offset, guest.address("address_of_a", bytes));
  DW_TRY_ASSIGN(const std::size_t b_offset, guest.address("address_of_b", bytes));
  DW_TRY_ASSIGN(const std::size_t c_offset, guest.address("address_of_c", bytes));
  return Graph::create(device, 8, [&](Graph& graph, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
    ggml_tensor* a = ggml_new_tensor_2d(context, GGML_TYPE_F32, n, n);
    ggml_tensor* b = ggml_new_tensor_2d(context, GGML_TYPE_F32, n, rows);
    DW_TRY(graph.bind(a, import, a_offset));
    DW_TRY(graph.bind(b, import, b_offset + from));
    ggml_tensor* c = ggml_mul_mat(context, a, b);
    DW_TRY(graph.bind(c, import, c_offset + from));
    ggml_build_forward_expand(nodes, c);
    return {};
  });
}

/// Spoils the product, lets `multiply` make it, and has the guest check every element.
Result<void> check(Guest& guest, std::string_view who, const Measurement& multiply) {
  DW_TRY(guest.call("fill"));
  DW_TRY(multiply());
  DW_TRY_ASSIGN(const std::int32_t errors, guest.call("errors"));
  if (errors == 0) return {};
  return fail(ErrorCode::internal, fmt::format("{} elements of the product made {} are wrong.", errors, who));
}

}  // namespace

Result<void> measure_gemm(Device& device, Guest& guest, const GemmOptions& options, Report& report) {
  const std::int32_t slice = options.slice;
  DW_TRY_ASSIGN(const Import import, device.import(guest.memory(), {0, guest.memory().size()}, Require::any));
  std::vector<std::unique_ptr<Graph>> graphs;
  for (std::int64_t part = 0; part < options.parts; ++part) {
    DW_TRY_ASSIGN(auto graph, native_gemm(device, guest, import, options, part));
    graphs.push_back(std::move(graph));
  }
  const Measurement by_guest = [&]() -> Result<double> {
    const Stopwatch watch;
    DW_TRY(guest.call("gemms", {{slice}}));
    return watch.elapsed_us() / slice;
  };
  const Measurement by_host = [&]() -> Result<double> {
    const Stopwatch watch;
    for (std::int32_t i = 0; i < slice; ++i) {
      for (const auto& graph : graphs) DW_TRY(graph->run());
    }
    return watch.elapsed_us() / slice;
  };
  DW_TRY(check(guest, "by the guest", by_guest));
  DW_TRY(check(guest, "natively", by_host));
  const Measurement sides[] = {by_guest, by_host};
  DW_TRY_ASSIGN(auto us, interleave(sides, options.short_run ? kShortRounds : kRounds));
  DW_TRY(check(guest, "by the guest", by_guest));

  report.add({.name = fmt::format("gemm_ratio{}", options.suffix),
              .unit = "ratio",
              .better = Better::less,
              .counts = fmt::format("gemm_guest_us / gemm_native_us, each slice of {} against its neighbour", slice),
              .summary = summarize(pair_ratios(us[0], us[1])),
              .goal = 1.02});
  report.add({.name = fmt::format("gemm_guest_us{}", options.suffix),
              .unit = "us",
              .better = Better::less,
              .counts = fmt::format("a {0}x{0} f32 GEMM by a guest's loop over dw_tensor_run, its records checked each "
                                    "time",
                                    options.n),
              .summary = summarize(std::move(us[0])),
              .goal = {}});
  report.add({.name = fmt::format("gemm_native_us{}", options.suffix),
              .unit = "us",
              .better = Better::less,
              .counts = "the same product over the same bytes by the host's loop over Graph::run",
              .summary = summarize(std::move(us[1])),
              .goal = {}});
  return {};
}

}  // namespace driftwood::bench
