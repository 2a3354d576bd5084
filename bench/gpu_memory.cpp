// What the card reads of a Region over the bus, and products that a guest asks for.
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <ggml.h>

#include "chain.hpp"
#include "core/clock.hpp"
#include "device/graph.hpp"
#include "gpu.hpp"
#include "guest.hpp"

namespace driftwood::bench {
namespace {

constexpr std::size_t kBytes = 256 * kMiB;
constexpr Rounds kRounds{.warm_up = 2, .at_most = 15, .at_least = 5, .seconds = 5};

}  // namespace

Result<void> measure_gpu_memory(GpuBench& bench) {
  Device& device = bench.host->device();
  DW_TRY_ASSIGN(auto region, Region::create({.reserve = kBytes, .commit = kBytes}));
  std::ranges::fill(region->bytes(), std::byte{1});
  DW_TRY_ASSIGN(const Import import, device.import(*region, {0, kBytes}, Require::no_copy));
  constexpr std::int64_t kColumns = 4096;
  constexpr auto kRows = static_cast<std::int64_t>(kBytes / sizeof(float)) / kColumns;
  ggml_tensor* sums = nullptr;
  DW_TRY_ASSIGN(const auto graph,
                Graph::create(device, 8, [&](Graph& g, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
                  ggml_tensor* all = ggml_new_tensor_2d(context, GGML_TYPE_F32, kColumns, kRows);
                  DW_TRY(g.bind(all, import, 0));
                  sums = ggml_sum_rows(context, all);
                  ggml_set_output(sums);
                  ggml_build_forward_expand(nodes, sums);
                  return {};
                }));
  void* pinned = nullptr;
  void* on_card = nullptr;
  if (cudaHostAlloc(&pinned, kBytes, cudaHostAllocDefault) != cudaSuccess ||
      cudaMalloc(&on_card, kBytes) != cudaSuccess) {
    return fail(ErrorCode::out_of_memory, "There is no memory for a copy to compare with.");
  }
  const auto rate = [](double us) { return static_cast<double>(kBytes) / us / 1e3; };
  const Measurement sides[] = {[&]() -> Result<double> {
                                 const Stopwatch watch;
                                 DW_TRY(graph->run());
                                 return rate(watch.elapsed_us());
                               },
                               [&]() -> Result<double> {
                                 const Stopwatch watch;
                                 if (cudaMemcpy(on_card, pinned, kBytes, cudaMemcpyHostToDevice) != cudaSuccess) {
                                   return fail(ErrorCode::internal, "A copy failed.");
                                 }
                                 return rate(watch.elapsed_us());
                               }};
  auto rates = interleave(sides, kRounds);
  cudaFreeHost(pinned);
  cudaFree(on_card);
  DW_TRY(rates);
  bench.report.add({.name = "mapped_read_gb_per_s",
                    .unit = "GB/s",
                    .better = Better::more,
                    .counts = "a kernel's read of 256 MiB of a Region where they lie",
                    .summary = summarize((*rates)[0]),
                    .goal = {}});
  bench.report.add({.name = "mapped_read_ratio",
                    .unit = "ratio",
                    .better = Better::more,
                    .counts = "the same / a copy of as much pinned memory to the card",
                    .summary = summarize(pair_ratios((*rates)[0], (*rates)[1])),
                    .goal = 0.9});
  return {};
}

Result<void> measure_gpu_gemm(GpuBench& bench) {
  Device& device = bench.host->device();
  DW_TRY_ASSIGN(auto engine, Engine::create());
  const auto measure = [&](std::span<const std::byte> module, const GemmOptions& options) -> Result<void> {
    GuestHostOptions host;
    host.device = &device;
    DW_TRY_ASSIGN(auto guest, Guest::spawn(*engine, module, std::move(host)));
    return measure_gemm(device, *guest, options, bench.report);
  };
  DW_TRY(measure(chain_guest(), {.short_run = true, .suffix = "_128"}));
  return measure(chain_guest_4096(), {.n = 4096, .parts = 2, .slice = 1, .short_run = true, .suffix = "_4096"});
}

}  // namespace driftwood::bench
