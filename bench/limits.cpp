// How far the forward pass is from what the machine can do at all: memory bandwidth and arithmetic, measured here.

#include <fmt/format.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "bench/limits_kernels.hpp"
#include "benchmark.hpp"
#include "core/bytes.hpp"
#include "core/clock.hpp"
#include "forward.hpp"
#include "input.hpp"
#include "llm/context.hpp"
#include "model/model.hpp"

namespace driftwood::bench {
namespace {

constexpr std::size_t kReadBytes = 256 * kMiB;  // beyond every cache
constexpr std::uint32_t kDecoded = 16;
constexpr std::uint32_t kPrompt = 512;

/// Seconds until `work(thread)` has ended on all threads.
double time_threads(int threads, const std::function<void(int)>& work) {
  std::atomic<int> waiting{threads};
  std::atomic<bool> go{false};
  std::vector<std::jthread> others;
  for (int i = 0; i < threads; ++i) {
    others.emplace_back([&, i] {
      waiting.fetch_sub(1);
      while (!go.load()) std::this_thread::yield();
      work(i);
    });
  }
  while (waiting.load() > 0) std::this_thread::yield();
  const Stopwatch watch;
  go.store(true);
  others.clear();
  return watch.elapsed_us() / 1e6;
}

/// GB/s of all threads together, each reading its part of the bytes in order.
std::vector<double> measure_reading(int threads, int rounds) {
  const std::vector<std::byte> bytes(kReadBytes, std::byte{1});
  const std::size_t share = kReadBytes / static_cast<std::size_t>(threads) / kKiB * kKiB;
  std::vector<double> found;
  for (int round = -1; round < rounds; ++round) {
    std::atomic<std::uint64_t> keep{0};
    const double seconds = time_threads(threads, [&](int thread) {
      keep += read_through(std::span(bytes).subspan(static_cast<std::size_t>(thread) * share, share));
    });
    if (round >= 0) found.push_back(static_cast<double>(share * static_cast<std::size_t>(threads)) / seconds / 1e9);
  }
  return found;
}

/// GFLOP/s of all threads together.
std::vector<double> measure_arithmetic(int threads, int rounds) {
  constexpr std::uint64_t kRounds = 4'000'000;
  std::vector<double> found;
  for (int round = -1; round < rounds; ++round) {
    std::atomic<double> operations{0};
    const double seconds = time_threads(threads, [&](int) {
      float keep = 0;
      const double done = multiply_and_add(kRounds, keep);
      operations += keep == 0 ? 0 : done;
    });
    if (round >= 0) found.push_back(operations / seconds / 1e9);
  }
  return found;
}

struct Machine {
  double bytes_per_s = 0;
  double flop_per_s = 0;
};

Result<void> measure_model(const ForwardSetup& setup, const Machine& machine, const std::vector<std::uint32_t>& lengths,
                           int rounds, Report& report) {
  DW_TRY_ASSIGN(const ModelSummary summary, Model::summarize(setup.model));
  DW_TRY_ASSIGN(const ContextLayout layout, make_context_layout(summary.hyperparameters, setup.n_ctx, KvType::f16));
  DW_TRY_ASSIGN(const auto driftwood, make_driftwood(setup));

  std::vector<double> reached;
  for (int round = -1; round < rounds; ++round) {
    DW_TRY(driftwood->rewind(0));
    const Stopwatch watch;
    DW_TRY(driftwood->prefill(kPrompt));
    const double operations = 2.0 * static_cast<double>(summary.parameters) * kPrompt;
    if (round >= 0) reached.push_back(operations / (watch.elapsed_us() / 1e6) / machine.flop_per_s);
  }
  report.add({.name = fmt::format("prefill_of_f32_peak_{}", kPrompt),
              .unit = "ratio",
              .better = Better::more,
              .counts = "multiplications and additions with the model's weights in a prefill, per second / "
                        "f32_gflop_s; products of bytes go beyond 1 where the processor has them",
              .summary = summarize(std::move(reached)),
              .goal = {}});

  for (const std::uint32_t n : lengths) {
    DW_TRY(driftwood->rewind(0));
    DW_TRY(driftwood->prefill(n));
    const double bytes =
        static_cast<double>(summary.file_bytes) + static_cast<double>(n) * static_cast<double>(layout.token_stride);
    const double limit_ms = bytes / machine.bytes_per_s * 1e3;
    std::vector<double> times;
    std::vector<double> of_limit;
    for (int round = -1; round < rounds; ++round) {
      DW_TRY(driftwood->rewind(n));
      const Stopwatch watch;
      DW_TRY(driftwood->decode(n, kDecoded));
      const double ms = watch.elapsed_us() / 1e3 / kDecoded;
      if (round < 0) continue;
      times.push_back(ms);
      of_limit.push_back(limit_ms / ms);
    }
    report.add({.name = fmt::format("decode_ms_{}", n),
                .unit = "ms",
                .better = Better::less,
                .counts = fmt::format("a token after {} others, mean of {}, by a guest", n, kDecoded),
                .summary = summarize(std::move(times)),
                .goal = {}});
    report.add({.name = fmt::format("decode_of_memory_limit_{}", n),
                .unit = "ratio",
                .better = Better::more,
                .counts = fmt::format("the time that reading the weights and the KV rows once takes at read_gb_s "
                                      "({:.0f} MB: {:.2f} ms) / decode_ms_{}",
                                      bytes / 1e6, limit_ms, n),
                .summary = summarize(std::move(of_limit)),
                .goal = {}});
  }
  return {};
}

}  // namespace

Result<Report> run_limits(const Options& options) {
  DW_TRY_ASSIGN(const auto path, find_model(options.model));
  int threads = options.threads;
  if (threads == 0) {
    DW_TRY_ASSIGN(const auto device, open_device("cpu"));
    threads = device->info().threads;
  }
  const int rounds = options.short_run ? 3 : 15;
  Report report("limits");
  report.add_fact("model", {{"file", path.filename().string()}});
  report.add_fact("threads", threads);

  say("limits: memory");
  const Summary read = summarize(measure_reading(threads, rounds));
  say("limits: arithmetic");
  const Summary arithmetic = summarize(measure_arithmetic(threads, rounds));
  report.add({.name = "read_gb_s",
              .unit = "GB/s",
              .better = Better::more,
              .counts = fmt::format("{} read once in order by all threads together", format_bytes(kReadBytes)),
              .summary = read,
              .goal = {}});
  report.add({.name = "f32_gflop_s",
              .unit = "GFLOP/s",
              .better = Better::more,
              .counts = "fused multiply-adds in registers by all threads together, each counted as two",
              .summary = arithmetic,
              .goal = {}});

  const std::vector<std::uint32_t> lengths =
      options.short_run ? std::vector<std::uint32_t>{24, 512} : std::vector<std::uint32_t>{24, 512, 4096};
  ForwardSetup setup{.model = path,
                     .threads = threads,
                     .n_ctx = lengths.back() + 256,
                     .packed_cache = packed_weights_folder(),
                     .tokens = {}};
  DW_TRY_ASSIGN(setup.tokens, text_tokens(path, lengths.back() + kDecoded));
  say("limits: the model");
  DW_TRY(measure_model(setup, {read.median * 1e9, arithmetic.median * 1e9}, lengths, rounds, report));
  return report;
}

}  // namespace driftwood::bench
