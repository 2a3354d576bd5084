// One sequence: decode with the token picked, prefill, and what the guest adds to a token.
#include <fmt/format.h>

#include <algorithm>

#include "core/clock.hpp"
#include "device/decoder.hpp"
#include "device/mirror/mirror_cache.hpp"
#include "gpu.hpp"
#include "llm/graph/decoder_model.hpp"

namespace driftwood::bench {
namespace {

constexpr std::uint32_t kSlice = 32;  // tokens
constexpr std::uint32_t kTopK = 40;
constexpr Rounds kRounds{.warm_up = 3, .at_most = 21, .at_least = 5, .seconds = 6};
constexpr Rounds kPrefillRounds{.warm_up = 2, .at_most = 11, .at_least = 5, .seconds = 6};

/// The passes without a guest: the same Forward, called by the host in a loop.
class NativeLoop {
 public:
  static Result<std::unique_ptr<NativeLoop>> create(GpuBench& bench) {
    std::unique_ptr<NativeLoop> made(new NativeLoop());
    DW_TRY_ASSIGN(made->forward_, bench.host->forward());
    const Model& model = made->forward_->model();
    DW_TRY_ASSIGN(made->layout_, make_context_layout(model.hyperparameters(), kGpuCtx, KvType::f16));
    const std::size_t size = align_up(made->layout_.size + 4096, std::size_t{64} * kKiB);
    DW_TRY_ASSIGN(made->region_, Region::create({.reserve = size, .commit = size}));
    DW_TRY_ASSIGN(made->memory_, bench.host->device().import(*made->region_, {0, size}, Require::any));
    DW_TRY(init_context(made->context(), made->layout_, model.hash()));
    return made;
  }

  Result<void> append(std::span<const Token> tokens) {
    ForwardRequest request;
    request.memory = &memory_;
    request.context = {0, layout_.size};
    request.tokens = tokens;
    request.outputs = Outputs::top_k;
    request.top_k = kTopK;
    request.logits = {align_up(layout_.size, 64), kTopK * sizeof(TokenLogit)};
    return forward_->run(request);
  }
  Result<void> generate(std::uint32_t n) {
    const auto* best = reinterpret_cast<const TokenLogit*>(region_->data() + align_up(layout_.size, 64));
    for (std::uint32_t i = 0; i < n; ++i) {
      const Token token = best->token;
      DW_TRY(append({&token, 1}));
    }
    return {};
  }
  void rewind(std::uint32_t n) { set_context_tokens(context(), n); }

  /// Microseconds of the decoder alone for `n_rows` tokens after `n_past` others: what is left of a step is the host's.
  Result<double> decoder_us(GpuBench& bench, std::size_t n_rows, std::uint32_t n_past) {
    MirrorCache* const mirrors = bench.host->device().mirrors();
    if (mirrors == nullptr) return fail(ErrorCode::unavailable, "The device keeps no mirrors.");
    if (decoder_ == nullptr) {
      DW_TRY_ASSIGN(const DecoderModel model, make_decoder_model(forward_->model()));
      DW_TRY_ASSIGN(decoder_, bench.host->device().make_decoder(model));
    }
    const std::size_t stride = layout_.token_stride;
    DW_TRY_ASSIGN(auto hold, mirrors->prepare({.memory = &memory_,
                                               .range = {layout_.kv_offset, layout_.size - layout_.kv_offset},
                                               .valid = n_past * stride,
                                               .end = (n_past + n_rows) * stride}));
    std::vector<Decoder::Row> rows;
    for (std::size_t i = 0; i < n_rows; ++i) {
      rows.push_back({bench.tokens[i], n_past + static_cast<std::uint32_t>(i), hold.device()});
    }
    std::vector<double> us;
    for (int i = -5; i < 41; ++i) {
      const Stopwatch watch;
      DW_TRY(decoder_->run(rows, kTopK, [] {}));
      if (i >= 0) us.push_back(watch.elapsed_us());
    }
    return summarize(std::move(us)).median;
  }

 private:
  std::span<std::byte> context() { return region_->bytes().first(layout_.size); }

  std::shared_ptr<Forward> forward_;
  std::unique_ptr<Decoder> decoder_;
  ContextLayout layout_;
  std::unique_ptr<Region> region_;
  Import memory_;
};

}  // namespace

Result<void> measure_gpu_decode(GpuBench& bench) {
  DW_TRY_ASSIGN(auto session, Session::start(*bench.host, kGpuCtx));
  DW_TRY_ASSIGN(auto native, NativeLoop::create(bench));
  DW_TRY_ASSIGN(auto on_card, GpuPeer::create(bench.peer_model, {.n_ctx = kGpuCtx, .picks = true}));
  DW_TRY_ASSIGN(auto on_host, GpuPeer::create(bench.peer_model, {.n_ctx = kGpuCtx}));
  std::vector<double> guest_us;
  std::vector<double> native_us;
  for (const std::uint32_t n : {24U, 512U, 4096U}) {
    DW_TRY(session->rewind(0));
    DW_TRY(session->append(bench.text(0, n)));
    native->rewind(0);
    DW_TRY(native->append(bench.text(0, n)));
    for (GpuPeer* peer : {on_card.get(), on_host.get()}) {
      DW_TRY(peer->rewind(0));
      DW_TRY(peer->append(bench.text(0, n)));
    }
    const auto per_token = [](const Stopwatch& watch) { return watch.elapsed_us() / kSlice; };
    const Measurement sides[] = {[&]() -> Result<double> {
                                   const Stopwatch watch;
                                   DW_TRY(session->generate(kSlice));
                                   const double us = per_token(watch);
                                   DW_TRY(session->rewind(n));
                                   return us;
                                 },
                                 [&]() -> Result<double> {
                                   const Stopwatch watch;
                                   DW_TRY(native->generate(kSlice));
                                   const double us = per_token(watch);
                                   native->rewind(n);
                                   return us;
                                 },
                                 [&]() -> Result<double> {
                                   const Stopwatch watch;
                                   DW_TRY(on_card->generate(bench.tokens[n], kSlice));
                                   const double us = per_token(watch);
                                   DW_TRY(on_card->rewind(n));
                                   return us;
                                 },
                                 [&]() -> Result<double> {
                                   const Stopwatch watch;
                                   DW_TRY(on_host->generate(bench.tokens[n], kSlice));
                                   const double us = per_token(watch);
                                   DW_TRY(on_host->rewind(n));
                                   return us;
                                 },
                                 // Without a look at the logits.
                                 [&]() -> Result<double> {
                                   const Stopwatch watch;
                                   for (std::uint32_t i = 0; i < kSlice; ++i)
                                     DW_TRY(on_host->append(bench.text(n + i, 1)));
                                   const double us = per_token(watch);
                                   DW_TRY(on_host->rewind(n));
                                   return us;
                                 }};
    DW_TRY_ASSIGN(const auto us, interleave(sides, kRounds));
    const bool card = summarize(us[2]).median < summarize(us[3]).median;
    bench.add_ratio(
        fmt::format("decode_ratio_{}", n), card ? us[2] : us[3], us[0], 1.1,
        fmt::format("libllama's decode and pick ({}) / a guest's decode, the {} best of the device's logits "
                    "sampled by the guest, after {} tokens, {} in a row",
                    card ? "greedy on the card" : "the largest of all on the host", kTopK, n, kSlice));
    if (n == 4096) {
      bench.add_ratio(
          "mirror_kv_ratio", us[4], us[0], 0.97,
          "libllama's decode with its KV on the card, no look at the logits / a guest's decode over mirrors, "
          "each token's rows written through to its memory, the token picked");
    }
    for (const std::size_t rows : {1U, 64U}) {
      DW_TRY_ASSIGN(const double step_us, native->decoder_us(bench, rows, n));
      bench.report.add_fact(fmt::format("decoder_alone_us_{}_rows_{}", rows, n), step_us);
    }
    guest_us.insert(guest_us.end(), us[0].begin(), us[0].end());
    native_us.insert(native_us.end(), us[1].begin(), us[1].end());
  }
  std::vector<double> added(guest_us.size());
  std::ranges::transform(guest_us, native_us, added.begin(), std::minus<>());
  bench.report.add({.name = "guest_us_per_token",
                    .unit = "us",
                    .better = Better::less,
                    .counts =
                        "a guest's time for a token, sampling from the 40 best included, less the time of the same "
                        "passes called by the host",
                    .summary = summarize(std::move(added)),
                    .goal = 20});
  return {};
}

Result<void> measure_gpu_prefill(GpuBench& bench) {
  DW_TRY_ASSIGN(auto session, Session::start(*bench.host, kGpuCtx));
  DW_TRY_ASSIGN(auto narrow, GpuPeer::create(bench.peer_model, {.n_ctx = kGpuCtx, .n_ubatch = 512}));
  DW_TRY_ASSIGN(auto wide, GpuPeer::create(bench.peer_model, {.n_ctx = kGpuCtx, .n_ubatch = 2048}));
  for (const std::uint32_t n : {512U, 4096U}) {
    const auto peer = [&bench, n](GpuPeer& side) {
      return [&bench, &side, n]() -> Result<double> {
        DW_TRY(side.rewind(0));
        const Stopwatch watch;
        DW_TRY(side.append(bench.text(0, n)));
        return watch.elapsed_us();
      };
    };
    const Measurement sides[] = {[&]() -> Result<double> {
                                   DW_TRY(session->rewind(0));
                                   const Stopwatch watch;
                                   DW_TRY(session->append(bench.text(0, n)));
                                   return watch.elapsed_us();
                                 },
                                 peer(*narrow), peer(*wide)};
    DW_TRY_ASSIGN(const auto us, interleave(sides, kPrefillRounds));
    const bool is_narrow = summarize(us[1]).median < summarize(us[2]).median;
    bench.add_ratio(fmt::format("prefill_ratio_{}", n), is_narrow ? us[1] : us[2], us[0], 1.0,
                    fmt::format("libllama's prefill (n_ubatch {}) / a guest's, its memory written through, {} tokens "
                                "into an empty context",
                                is_narrow ? 512 : 2048, n));
  }
  return {};
}

}  // namespace driftwood::bench
