// How far the forward pass is from what the machine can do at all: memory bandwidth and arithmetic, measured here.

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "bench/limits_kernels.hpp"
#include "benchmark.hpp"
#include "core/bytes.hpp"
#include "core/clock.hpp"
#include "core/handle.hpp"
#include "forward.hpp"
#include "input.hpp"
#include "interleave.hpp"
#include "llm/context.hpp"
#include "model/model.hpp"

namespace driftwood::bench {
namespace {

constexpr std::size_t kReadBytes = 256 * kMiB;  // beyond every cache
constexpr std::size_t kLargePage = 2 * kMiB;
constexpr std::uint64_t kProductRounds = 4'000'000;
constexpr std::uint32_t kDecoded = 16;

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

void free_bytes(std::byte* bytes) noexcept { std::free(bytes); }
using Buffer = Handle<std::byte, &free_bytes>;

/// kReadBytes that were written, in large pages where those are wanted and the system gives them.
Result<Buffer> make_buffer(bool large_pages) {
  Buffer buffer(static_cast<std::byte*>(std::aligned_alloc(kLargePage, kReadBytes)));
  if (buffer == nullptr) {
    return fail(ErrorCode::out_of_memory, fmt::format("There is no memory for {}.", format_bytes(kReadBytes)));
  }
#if defined(MADV_HUGEPAGE)
  ::madvise(buffer.get(), kReadBytes, large_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
  std::memset(buffer.get(), 1, kReadBytes);
  return buffer;
}

/// GB/s of all threads together, each reading its part of the bytes in order.
double read_once(const Buffer& buffer, int threads) {
  const std::span<const std::byte> bytes(buffer.get(), kReadBytes);
  const std::size_t share = kReadBytes / static_cast<std::size_t>(threads) / kKiB * kKiB;
  std::atomic<std::uint64_t> keep{0};
  const double seconds = time_threads(threads, [&](int thread) {
    keep += read_through(bytes.subspan(static_cast<std::size_t>(thread) * share, share));
  });
  return static_cast<double>(share * static_cast<std::size_t>(threads)) / seconds / 1e9;
}

/// GFLOP/s of all threads together.
double multiply_floats_once(int threads) {
  std::atomic<double> operations{0};
  const double seconds = time_threads(threads, [&](int) {
    float keep = 0;
    const double done = multiply_and_add(kProductRounds, keep);
    operations += keep == 0 ? 0 : done;
  });
  return operations / seconds / 1e9;
}

/// Billions of multiplications and additions a second, of all threads together.
Result<double> multiply_bytes_once(int threads) {
  std::atomic<double> operations{0};
  std::atomic<std::int64_t> sum{0};
  const double seconds = time_threads(threads, [&](int) {
    std::int64_t own = 0;
    operations += multiply_bytes(kProductRounds, own);
    sum += own;
  });
  if (2.0 * static_cast<double>(sum) == operations) return operations / seconds / 1e9;
  return fail(ErrorCode::internal,
              fmt::format("{} products of bytes, each 1, have the sum {}.", operations / 2, sum.load()));
}

/// A second.
struct Machine {
  double bytes = 0;
  double f32_operations = 0;
  double int8_operations = 0;
};

Result<Machine> measure_machine(int threads, int rounds, Report& report) {
  say("limits: memory");
  DW_TRY_ASSIGN(const Buffer large, make_buffer(true));
  DW_TRY_ASSIGN(const Buffer small, make_buffer(false));
  const Measurement reads[] = {[&] { return read_once(large, threads); }, [&] { return read_once(small, threads); }};
  DW_TRY_ASSIGN(auto read, interleave(reads, {.warm_up = 1, .at_most = rounds}));
  say("limits: arithmetic");
  const Measurement products[] = {[&] { return multiply_floats_once(threads); },
                                  [&] { return multiply_bytes_once(threads); }};
  DW_TRY_ASSIGN(auto multiplied, interleave(products, {.warm_up = 1, .at_most = rounds}));

  const auto add = [&](const char* name, const char* unit, std::string counts, std::vector<double> values) {
    const Summary summary = summarize(std::move(values));
    report.add({.name = name,
                .unit = unit,
                .better = Better::more,
                .counts = std::move(counts),
                .summary = summary,
                .goal = {}});
    return summary.median * 1e9;
  };
  Machine machine;
  machine.bytes =
      add("read_gb_s", "GB/s",
          fmt::format("{} read once in order by all threads together, in large pages where the system gives "
                      "them to who asks",
                      format_bytes(kReadBytes)),
          std::move(read[0]));
  add("read_small_pages_gb_s", "GB/s", "likewise in small pages", std::move(read[1]));
  machine.f32_operations =
      add("f32_gflop_s", "GFLOP/s", "fused multiply-adds in registers by all threads together, each counted as two",
          std::move(multiplied[0]));
  machine.int8_operations =
      add("int8_gop_s", "Gop/s",
          "likewise products of bytes, by the instructions that products with packed weights use; a product and its "
          "addition counted as two",
          std::move(multiplied[1]));
  return machine;
}

/// How near prefills of `n` tokens come to the arithmetic limits.
Result<void> measure_prefill(Contender& driftwood, const Machine& machine, double parameters, std::uint32_t n,
                             int rounds, Report& report) {
  const Measurement prefill = [&]() -> Result<double> {
    DW_TRY(driftwood.rewind(0));
    const Stopwatch watch;
    DW_TRY(driftwood.prefill(n));
    return 2.0 * parameters * n / watch.elapsed_s();
  };
  DW_TRY_ASSIGN(const auto reached, interleave({&prefill, 1}, {.warm_up = 1, .at_most = rounds}));
  const auto add = [&](const char* name, const char* counts, double limit) {
    std::vector<double> of_limit = reached[0];
    for (double& value : of_limit) value /= limit;
    report.add({.name = fmt::format("{}_{}", name, n),
                .unit = "ratio",
                .better = Better::more,
                .counts = counts,
                .summary = summarize(std::move(of_limit)),
                .goal = {}});
  };
  add("prefill_of_int8_peak",
      "multiplications and additions with the model's weights in a prefill, per second / int8_gop_s; what attention "
      "computes is not counted",
      machine.int8_operations);
  add("prefill_of_f32_peak", "the same / f32_gflop_s; products of bytes go beyond 1 where the processor has them",
      machine.f32_operations);
  return {};
}

Result<void> measure_model(const ForwardSetup& setup, const Machine& machine, const std::vector<std::uint32_t>& lengths,
                           int rounds, Report& report) {
  DW_TRY_ASSIGN(const ModelSummary summary, Model::summarize(setup.model));
  DW_TRY_ASSIGN(const ContextLayout layout, make_context_layout(summary.hyperparameters, setup.n_ctx, KvType::f16));
  DW_TRY_ASSIGN(const auto driftwood, make_driftwood(setup));

  for (const std::uint32_t n : lengths) {
    if (n < 512) continue;  // too few to keep the units busy
    const int times = n > 512 ? std::min(rounds, 5) : rounds;
    DW_TRY(measure_prefill(*driftwood, machine, static_cast<double>(summary.parameters), n, times, report));
  }

  for (const std::uint32_t n : lengths) {
    DW_TRY(driftwood->rewind(0));
    DW_TRY(driftwood->prefill(n));
    const double bytes =
        static_cast<double>(summary.file_bytes) + static_cast<double>(n) * static_cast<double>(layout.token_stride);
    const double limit_ms = bytes / machine.bytes * 1e3;
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
  const int rounds = options.short_run ? 5 : 15;
  Report report("limits");
  report.add_fact("model", {{"file", path.filename().string()}});
  report.add_fact("threads", threads);

  DW_TRY_ASSIGN(const Machine machine, measure_machine(threads, rounds, report));
  const std::vector<std::uint32_t> lengths =
      options.short_run ? std::vector<std::uint32_t>{24, 512} : std::vector<std::uint32_t>{24, 512, 4096};
  ForwardSetup setup{.model = path,
                     .threads = threads,
                     .n_ctx = lengths.back() + 256,
                     .packed_cache = packed_weights_folder(),
                     .tokens = {}};
  DW_TRY_ASSIGN(setup.tokens, text_tokens(path, lengths.back() + kDecoded));
  say("limits: the model");
  DW_TRY(measure_model(setup, machine, lengths, rounds, report));
  return report;
}

}  // namespace driftwood::bench
