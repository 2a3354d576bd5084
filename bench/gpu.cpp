// A GPU, driven by guests, beside libllama on the same card in the same run.
#include "gpu.hpp"

#include <fmt/format.h>

#include <cmath>

#include "device/mirror/mirror_cache.hpp"
#include "input.hpp"

namespace driftwood::bench {

void GpuBench::add_ratio(std::string name, const std::vector<double>& theirs, const std::vector<double>& ours,
                         double goal, std::string counts) {
  report.add({.name = name + "_us",
              .unit = "us",
              .counts = "Driftwood's side of " + name,
              .summary = summarize(ours),
              .goal = {}});
  report.add({.name = name + "_peer_us",
              .unit = "us",
              .counts = "libllama's side of " + name,
              .summary = summarize(theirs),
              .goal = {}});
  report.add({.name = std::move(name),
              .unit = "ratio",
              .counts = std::move(counts),
              .summary = summarize(pair_ratios(theirs, ours)),
              .goal = Goal{Goal::Side::at_least, goal}});
}

void GpuBench::run_part(const char* name, Result<void> (*part)(GpuBench& bench)) {
  say(fmt::format("gpu: {}", name));
  const auto done = part(*this);
  if (done) return;
  say(fmt::format("gpu: {} was not measured: {}", name, done.error().to_string()));
  report.add_fact(fmt::format("not_measured_{}", name), done.error().to_string());
}

/// The device's logits after a prompt and some tokens against libllama's on the same card.
Result<void> measure_gpu_correctness(GpuBench& bench) {
  constexpr std::uint32_t kPrompt = 24;
  constexpr std::uint32_t kSteps = 4;
  DW_TRY_ASSIGN(auto peer, GpuPeer::create(bench.peer_model, {.n_ctx = 512}));
  DW_TRY(peer->append(bench.text(0, kPrompt)));
  DW_TRY_ASSIGN(auto plain, SessionHost::create(bench.model, bench.device, {}, session_guest()));
  DW_TRY_ASSIGN(auto session, Session::start(*plain, 512));
  DW_TRY(session->append(bench.text(0, kPrompt)));
  const std::size_t n_vocab = peer->logits().size();
  DW_TRY_ASSIGN(const ByteRange place, session->logits(static_cast<std::uint32_t>(n_vocab)));
  double worst = 0;
  std::uint32_t same = 0;
  for (std::uint32_t i = 0; i <= kSteps; ++i) {
    if (i != 0) {
      DW_TRY(peer->append(bench.text(kPrompt + i, 1)));
      DW_TRY(session->append(bench.text(kPrompt + i, 1)));
    }
    const auto* ours = reinterpret_cast<const float*>(session->actor().memory().data() + place.offset);
    const std::span<const float> theirs = peer->logits();
    double difference = 0;
    double norm = 0;
    for (std::size_t t = 0; t < n_vocab; ++t) {
      difference += std::pow(double{ours[t]} - theirs[t], 2);
      norm += std::pow(double{theirs[t]}, 2);
    }
    worst = std::max(worst, std::sqrt(difference / norm));
    same += std::max_element(ours, ours + n_vocab) - ours == std::ranges::max_element(theirs) - theirs.begin() ? 1 : 0;
  }
  bench.report.add_fact("logits_relative_error", worst);
  bench.report.add_fact("logits_same_best", fmt::format("{} of {}", same, kSteps + 1));
  if (worst < 0.03) return {};
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
