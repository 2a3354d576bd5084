// 64 actors that go on from one prompt, each in a thread of its own, against libllama's batch of 64 sequences.
#include <fmt/format.h>

#include <algorithm>
#include <barrier>
#include <thread>

#include "core/clock.hpp"
#include "device/mirror/mirror_cache.hpp"
#include "gpu.hpp"

namespace driftwood::bench {
namespace {

constexpr std::uint32_t kActors = 64;
constexpr std::uint32_t kPrompt = 1024;
constexpr std::uint32_t kTokens = 64;  // of each actor in a round
constexpr int kRoundsOfBatch = 5;

/// Microseconds for `n` tokens of every actor.
Result<double> generate_all(std::vector<std::unique_ptr<Session>>& actors, std::uint32_t n) {
  std::vector<Result<Token>> answers(actors.size(), Token{0});
  std::barrier start(static_cast<std::ptrdiff_t>(actors.size()) + 1);
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < actors.size(); ++i) {
    threads.emplace_back([&, i] {
      start.arrive_and_wait();
      answers[i] = actors[i]->generate(n);
    });
  }
  start.arrive_and_wait();
  const Stopwatch watch;
  threads.clear();
  const double us = watch.elapsed_us();
  for (auto& answer : answers) DW_TRY(answer);
  return us;
}

Result<std::vector<double>> time_peer(GpuBench& bench, bool picks) {
  DW_TRY_ASSIGN(auto peer, GpuPeer::create(bench.peer_model, {.n_ctx = kPrompt + kActors * (2 * kTokens + 8),
                                                              .n_ubatch = 512,
                                                              .n_sequences = kActors,
                                                              .picks = picks}));
  std::vector<double> us;
  for (int round = -1; round < kRoundsOfBatch; ++round) {
    DW_TRY(peer->rewind(0));
    DW_TRY(peer->append(bench.text(0, kPrompt)));
    DW_TRY(peer->share());
    std::vector<Token> tokens(bench.tokens.begin(), bench.tokens.begin() + kActors);
    const Stopwatch watch;
    for (std::uint32_t i = 0; i < kTokens; ++i) DW_TRY(peer->step(tokens, kPrompt + i));
    if (round >= 0) us.push_back(watch.elapsed_us());
  }
  return us;
}

}  // namespace

Result<void> measure_gpu_batch(GpuBench& bench) {
  MirrorCache* const mirrors = bench.host->device().mirrors();
  if (mirrors != nullptr) mirrors->drop();
  DW_TRY_ASSIGN(auto parent, Session::start(*bench.host, kPrompt + 512));
  DW_TRY(parent->append(bench.text(0, kPrompt)));
  DW_TRY_ASSIGN(auto children, parent->actor().fork(kActors));
  std::vector<std::unique_ptr<Session>> actors;
  for (auto& child : children) actors.push_back(std::make_unique<Session>(std::move(child)));
  DW_TRY(generate_all(actors, 1));
  if (mirrors != nullptr) {
    const MirrorUse use = mirrors->use();
    DW_TRY_ASSIGN(const auto forward, bench.host->forward());
    DW_TRY_ASSIGN(const auto layout, make_context_layout(forward->model().hyperparameters(), 1, KvType::f16));
    const std::size_t prefix = (std::size_t{kPrompt} * layout.token_stride + use.chunk_size - 1) / use.chunk_size;
    // Each child owns the chunk that its own tokens go to; what is left holds the prefix.
    const double copies = static_cast<double>(use.chunks - kActors) / static_cast<double>(prefix);
    bench.report.add(
        {.name = "fork64_prefix_copies",
         .unit = "copies",
         .better = Better::less,
         .counts = fmt::format("the device's memory behind {} forks of {} tokens, less one chunk for each, "
                               "over that of the prefix ({} chunks of {} bytes in all, shown at {} places)",
                               kActors, kPrompt, use.chunks, use.chunk_size, use.mapped_chunks),
         .summary = summarize({copies}),
         .goal = 1});
  }
  std::vector<double> ours;
  for (int round = -1; round < kRoundsOfBatch; ++round) {
    for (auto& actor : actors) DW_TRY(actor->rewind(kPrompt));
    DW_TRY_ASSIGN(const double us, generate_all(actors, kTokens));
    if (round >= 0) ours.push_back(us);
  }
  DW_TRY_ASSIGN(const auto on_card, time_peer(bench, true));
  DW_TRY_ASSIGN(const auto on_host, time_peer(bench, false));
  const bool card = summarize(on_card).median < summarize(on_host).median;
  bench.add_ratio(
      "batch64_ratio", card ? on_card : on_host, ours, 1.5,
      fmt::format("libllama's {} steps of {} sequences with a common prompt of {} tokens, picked on the {} / "
                  "{} actors forked after it, each sampling in its own thread",
                  kTokens, kActors, kPrompt, card ? "card" : "host", kActors));
  bench.report.add_fact("batch64_tokens_per_s", kActors * kTokens / summarize(ours).median * 1e6);
  bench.report.add_fact("batch64_peer_tokens_per_s",
                        kActors * kTokens / summarize(card ? on_card : on_host).median * 1e6);
  return {};
}

}  // namespace driftwood::bench
