// A GPU, driven by guests, beside libllama on the same card in the same run.
#include "gpu.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "device/mirror/mirror_cache.hpp"
#include "input.hpp"

namespace driftwood::bench {

void GpuBench::add_ratio(std::string name, const std::vector<double>& theirs, const std::vector<double>& ours,
                         std::optional<double> goal, std::string counts) {
  report.add({.name = name + "_us",
              .unit = "us",
              .better = Better::less,
              .counts = "Driftwood's side of " + name,
              .summary = summarize(ours),
              .goal = {}});
  report.add({.name = name + "_peer_us",
              .unit = "us",
              .better = Better::less,
              .counts = "libllama's side of " + name,
              .summary = summarize(theirs),
              .goal = {}});
  report.add({.name = std::move(name),
              .unit = "ratio",
              .better = Better::more,
              .counts = std::move(counts),
              .summary = summarize(pair_ratios(theirs, ours)),
              .goal = goal});
}

void GpuBench::run_part(const char* name, Result<void> (*part)(GpuBench& bench)) {
  say(fmt::format("gpu: {}", name));
  const auto done = part(*this);
  if (done) return;
  say(fmt::format("gpu: {} was not measured: {}", name, done.error().to_string()));
  report.add_fact(fmt::format("not_measured_{}", name), done.error().to_string());
}

namespace {

double relative_error(const float* ours, std::span<const float> theirs) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    difference += std::pow(double{ours[i]} - theirs[i], 2);
    norm += std::pow(double{theirs[i]}, 2);
  }
  return std::sqrt(difference / norm);
}

}  // namespace

/// The device's logits after prompts and some tokens against libllama's on the same card, which quantizes activations
/// to 8 bits where Driftwood keeps 16.
Result<void> measure_gpu_correctness(GpuBench& bench) {
  constexpr std::uint32_t kSteps = 4;
  constexpr double kMost = 0.06;
  DW_TRY_ASSIGN(auto peer, GpuPeer::create(bench.peer_model, {.n_ctx = 1024}));
  DW_TRY_ASSIGN(auto plain, SessionHost::create(bench.model, bench.device, {}, session_guest()));
  DW_TRY_ASSIGN(auto session, Session::start(*plain, 1024));
  double worst = 0;
  std::uint32_t same = 0;
  std::uint32_t compared = 0;
  for (const std::uint32_t prompt : {24U, 600U}) {
    DW_TRY(peer->rewind(0));
    DW_TRY(session->rewind(0));
    for (std::uint32_t i = 0; i <= kSteps; ++i) {
      const auto tokens = i == 0 ? bench.text(0, prompt) : bench.text(prompt + i, 1);
      DW_TRY(peer->append(tokens));
      DW_TRY(session->append(tokens));
      const std::span<const float> theirs = peer->logits();
      DW_TRY_ASSIGN(const ByteRange place, session->logits(static_cast<std::uint32_t>(theirs.size())));
      const auto* ours = reinterpret_cast<const float*>(session->actor().memory().data() + place.offset);
      const double error = relative_error(ours, theirs);
      if (i == 0) bench.report.add_fact(fmt::format("logits_relative_error_prompt_{}", prompt), error);
      worst = std::max(worst, error);
      ++compared;
      same += std::max_element(ours, ours + theirs.size()) - ours == std::ranges::max_element(theirs) - theirs.begin();
    }
  }
  bench.report.add_fact("logits_relative_error", worst);
  bench.report.add_fact("logits_same_best", fmt::format("{} of {}", same, compared));
  if (worst < kMost) return {};
  return fail(ErrorCode::internal, fmt::format("The logits differ from libllama's by {}.", worst));
}

Result<Report> run_gpu(const Options& options) {
  GpuBench bench;
  bench.short_run = options.short_run;
  DW_TRY_ASSIGN(bench.model, find_model(options.model));
  DW_TRY_ASSIGN(bench.tokens, text_tokens(bench.model, kGpuCtx));
  DW_TRY_ASSIGN(bench.host, SessionHost::create(bench.model, options.device.empty() ? "cuda" : options.device, {},
                                                session_top_k_guest()));
  const DeviceInfo& device = bench.host->device().info();
  if (!device.name.starts_with("cuda:")) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The device ({}) is no card that libllama can be measured on here: name one of cuda:N.",
                            device.name));
  }
  bench.device = device.name;
  bench.number = std::stoi(device.name.substr(device.name.find(':') + 1));
  bench.report.add_fact("device", {{"name", device.name},
                                   {"description", device.description},
                                   {"sharing", to_string(device.capabilities.import_sharing)},
                                   {"memory_bytes", device.memory_total},
                                   {"kernels", device.numerics.kernels}});
  bench.report.add_fact("model", {{"file", bench.model.filename().string()}});
  DW_TRY_ASSIGN(bench.peer_model, GpuPeerModel::load(bench.model, bench.number));
  DW_TRY(measure_gpu_correctness(bench));
  bench.run_part("decode", measure_gpu_decode);
  bench.run_part("batch", measure_gpu_batch);
  bench.run_part("prefill", measure_gpu_prefill);
  bench.run_part("state", measure_gpu_state);
  bench.run_part("mapped", measure_gpu_mapped);
  bench.run_part("memory", measure_gpu_memory);
  bench.run_part("gemm", measure_gpu_gemm);
  return std::move(bench.report);
}

}  // namespace driftwood::bench
