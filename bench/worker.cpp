// What it costs to compute in a process of its own (src/device/worker), by kind of device.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "benchmark.hpp"
#include "core/clock.hpp"
#include "device/graph.hpp"
#include "input.hpp"
#include "interleave.hpp"
#include "llm/forward.hpp"

namespace driftwood::bench {
namespace {

constexpr std::uint32_t kTokens[] = {24, 4096};
constexpr std::uint32_t kContext = 4112;
constexpr Rounds kRounds{.warm_up = 3, .at_most = 60, .at_least = 5, .seconds = 45};
constexpr Rounds kShortRounds{.warm_up = 1, .at_most = 8, .at_least = 3, .seconds = 6};
/// Longer than the threads of the other side spin before they sleep.
constexpr std::chrono::milliseconds kUntilAsleep{20};
constexpr int kTinyRuns = 50;  ///< in one measurement

/// A device with a model, and a Context of as many tokens as are wanted.
class Side {
 public:
  static Result<std::unique_ptr<Side>> create(const std::string& device, const DeviceOptions& options,
                                              const std::filesystem::path& file, const ForwardOptions& forward) {
    std::unique_ptr<Side> side(new Side);
    DW_TRY_ASSIGN(side->device_, open_device(device, options));
    DW_TRY_ASSIGN(side->model_, Model::open(file, *side->device_));
    DW_TRY_ASSIGN(side->forward_, Forward::create(side->model_, forward));
    DW_TRY_ASSIGN(side->layout_, make_context_layout(side->model_->hyperparameters(), kContext, KvType::f16));
    side->logits_ = {align_up(side->layout_.size, 4096), side->model_->hyperparameters().n_vocab * sizeof(float)};
    const std::size_t size = align_up(side->logits_.offset + side->logits_.size, page_size());
    DW_TRY_ASSIGN(side->region_, Region::create({.reserve = size, .commit = size}));
    DW_TRY(init_context(side->context(), side->layout_, side->model_->hash()));
    side->fill();
    DW_TRY_ASSIGN(side->import_, side->device_->import(*side->region_, {0, size}));
    return side;
  }

  /// Microseconds of one token after `n_tokens`.
  Result<double> decode(std::uint32_t n_tokens) {
    set_context_tokens(context(), n_tokens);
    const Token token = 1;
    std::this_thread::sleep_for(kUntilAsleep);
    const Stopwatch watch;
    DW_TRY(forward_->run({.memory = &import_, .context = {0, layout_.size}, .tokens = {&token, 1}, .logits = logits_}));
    return watch.elapsed_us();
  }
  bool same_logits(const Side& other) const {
    return std::memcmp(region_->data() + logits_.offset, other.region_->data() + other.logits_.offset, logits_.size) ==
           0;
  }

 private:
  Side() = default;
  std::span<std::byte> context() { return region_->bytes().first(layout_.size); }
  /// Rows as if there had been a prompt: any numbers of their size do.
  void fill() {
    std::mt19937 random(1);
    std::vector<ggml_fp16_t> values(4096);
    for (ggml_fp16_t& value : values) value = ggml_fp32_to_fp16(static_cast<float>(random() % 2001) / 1000.0F - 1.0F);
    const auto rows = context().subspan(layout_.kv_offset);
    for (std::size_t at = 0; at < rows.size(); at += values.size() * sizeof(ggml_fp16_t)) {
      std::memcpy(rows.data() + at, values.data(), std::min(values.size() * sizeof(ggml_fp16_t), rows.size() - at));
    }
  }

  std::unique_ptr<Device> device_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Forward> forward_;
  ContextLayout layout_;
  ByteRange logits_;
  std::unique_ptr<Region> region_;
  Import import_;
};

/// The smallest computation: what is left of it is the way to the worker and back.
class Tiny {
 public:
  static Result<std::unique_ptr<Tiny>> create(WorkerUse worker) {
    std::unique_ptr<Tiny> tiny(new Tiny);
    DW_TRY_ASSIGN(tiny->device_, open_device("null", {.worker = worker}));
    DW_TRY_ASSIGN(tiny->region_, Region::create({.reserve = page_size(), .commit = page_size()}));
    DW_TRY_ASSIGN(tiny->import_, tiny->device_->import(*tiny->region_, {0, page_size()}));
    const auto build = [&](Graph& graph, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
      ggml_tensor* x = ggml_new_tensor_1d(context, GGML_TYPE_F32, 16);
      DW_TRY(graph.bind(x, tiny->import_, 0));
      ggml_tensor* y = ggml_scale(context, x, 3.0F);
      DW_TRY(graph.bind(y, tiny->import_, 64));
      ggml_build_forward_expand(nodes, y);
      return {};
    };
    DW_TRY_ASSIGN(tiny->graph_, Graph::create(*tiny->device_, 8, build));
    return tiny;
  }
  /// Microseconds of one computation.
  Result<double> run() {
    const Stopwatch watch;
    for (int i = 0; i < kTinyRuns; ++i) DW_TRY(graph_->run());
    return watch.elapsed_us() / kTinyRuns;
  }

 private:
  Tiny() = default;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Region> region_;
  Import import_;
  std::unique_ptr<Graph> graph_;
};

std::vector<double> differences(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> result;
  for (std::size_t i = 0; i < a.size(); ++i) result.push_back(a[i] - b[i]);
  return result;
}

Result<void> measure_boundary(const Rounds& rounds, Report& report) {
  say("the smallest computation, here and in a worker");
  DW_TRY_ASSIGN(const auto here, Tiny::create(WorkerUse::off));
  DW_TRY_ASSIGN(const auto there, Tiny::create(WorkerUse::on));
  const Measurement sides[] = {[&] { return here->run(); }, [&] { return there->run(); }};
  DW_TRY_ASSIGN(const auto times, interleave(sides, rounds));
  report.add({.name = "boundary_us",
              .unit = "us",
              .better = Better::less,
              .counts = "what a worker adds to a computation of one operator over 16 numbers",
              .summary = summarize(differences(times[1], times[0])),
              .goal = std::nullopt});
  return {};
}

/// `kind`: of the fields' names. `ours`: how forwards run here without a worker, where that is with other kernels.
Result<void> measure_device(const std::string& device, const std::string& kind, const Options& options,
                            const std::filesystem::path& model, bool ours, Report& report) {
  const ForwardOptions stock{.attention = AttentionKind::stock, .products = ProductKind::stock};
  std::unique_ptr<Side> own;
  if (ours) {
    DW_TRY_ASSIGN(own, Side::create(device, {.threads = options.threads, .worker = WorkerUse::off}, model,
                                    {.packed_cache = packed_weights_folder()}));
  }
  // A worker has no mirrors.
  DeviceOptions chosen{.threads = options.threads, .mirror_budget = 0, .worker = WorkerUse::off};
  DW_TRY_ASSIGN(const auto here, Side::create(device, chosen, model, stock));
  chosen.worker = WorkerUse::on;
  DW_TRY_ASSIGN(const auto there, Side::create(device, chosen, model, {}));
  for (const std::uint32_t n : kTokens) {
    say(fmt::format("{}: a token after {}, here and in a worker", device, n));
    std::vector<Measurement> sides{[&] { return here->decode(n); }, [&] { return there->decode(n); }};
    if (ours) sides.emplace_back([&] { return own->decode(n); });
    DW_TRY_ASSIGN(const auto times, interleave(sides, options.short_run ? kShortRounds : kRounds));
    if (!here->same_logits(*there)) {
      return fail(ErrorCode::internal, fmt::format("The logits of {} in a worker are others than here.", device));
    }
    report.add({.name = fmt::format("{}_added_us_{}", kind, n),
                .unit = "us",
                .better = Better::less,
                .counts = fmt::format("what a worker adds to decoding a token after {} on {}", n, device),
                .summary = summarize(differences(times[1], times[0])),
                .goal = std::nullopt});
    report.add({.name = fmt::format("{}_ratio_{}", kind, n),
                .unit = "ratio",
                .better = Better::less,
                .counts = "the time of that token in a worker, over the same operators here",
                .summary = summarize(pair_ratios(times[1], times[0])),
                .goal = 1.05});
    if (!ours) continue;
    report.add({.name = fmt::format("{}_own_ratio_{}", kind, n),
                .unit = "ratio",
                .better = Better::less,
                .counts = "the same, over Driftwood's own kernels here, which no worker runs",
                .summary = summarize(pair_ratios(times[1], times[2])),
                .goal = std::nullopt});
  }
  return {};
}

}  // namespace

Result<Report> run_worker(const Options& options) {
  Report report("worker");
  DW_TRY_ASSIGN(const auto model, find_model(options.model));
  DW_TRY(measure_boundary(options.short_run ? kShortRounds : kRounds, report));
  DW_TRY(measure_device("cpu", "cpu", options, model, true, report));
  const auto names = device_names();
  for (const std::string kind : {"cuda", "vulkan"}) {
    const auto card =
        std::ranges::find_if(names, [&](const std::string& name) { return name.starts_with(kind + ":"); });
    if (card == names.end()) continue;
    DW_TRY(measure_device(*card, kind, options, model, kind == "cuda", report));
    report.add_fact(kind + "_device", *card);
  }
  return report;
}

}  // namespace driftwood::bench
