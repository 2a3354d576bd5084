// Freeze and thaw of an actor whose KV is mirrored on the card, against libllama's state out of and into the card.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "device/mirror/mirror_cache.hpp"
#include "gpu.hpp"
#include "scratch_folder.hpp"

namespace driftwood::bench {
namespace {

constexpr std::uint32_t kTokens = 4096;
constexpr std::uint32_t kTurn = 100;
constexpr int kTurns = 9;
constexpr int kThaws = 11;

/// What thaws with a token took, and where the time went.
struct Thaws {
  std::vector<double> us;
  std::vector<double> actor_us;   ///< making the actor
  std::vector<double> mirror_us;  ///< getting its rows ready on the card
  std::vector<double> copy_us;    ///< of that, copies from the host
  std::uint64_t maps = 0;         ///< chunks mapped by the last one

  void add_parts_to(Report& report, std::string_view mirror) {
    const auto add = [&](std::string_view part, std::string_view counts, std::vector<double>& part_us) {
      report.add({.name = fmt::format("thaw_{}_{}_us", mirror, part),
                  .unit = "us",
                  .better = Better::less,
                  .counts = fmt::format("of a thaw and a token, mirror {}: {}", mirror, counts),
                  .summary = summarize(std::move(part_us)),
                  .goal = {}});
    };
    add("actor", "until the actor is there", actor_us);
    add("mirror", "getting its rows ready on the card", mirror_us);
    add("copy", "of that, copies from the host", copy_us);
    report.add_fact(fmt::format("thaw_{}_chunks_mapped", mirror), maps);
  }
};

struct PinnedBytes {
  std::uint8_t* data = nullptr;
  std::size_t size = 0;
  ~PinnedBytes() { cudaFreeHost(data); }
};

}  // namespace

Result<void> measure_gpu_state(GpuBench& bench) {
  MirrorCache* const mirrors = bench.host->device().mirrors();
  if (mirrors == nullptr) return fail(ErrorCode::unavailable, "The device keeps no mirrors.");
  DW_TRY_ASSIGN(const auto folder, ScratchFolder::create());
  const auto file = folder->path() / "state";
  DW_TRY_ASSIGN(auto peer, GpuPeer::create(bench.peer_model, {.n_ctx = kGpuCtx, .n_ubatch = 2048, .picks = true}));
  DW_TRY(peer->append(bench.text(0, kTokens)));
  PinnedBytes state;
  void* pinned = nullptr;
  if (cudaHostAlloc(&pinned, peer->state_bytes() + kMiB, cudaHostAllocDefault) != cudaSuccess) {
    return fail(ErrorCode::out_of_memory, "There is no pinned memory for libllama's state.");
  }
  state.data = static_cast<std::uint8_t*>(pinned);
  std::vector<double> get_us;
  std::vector<double> save_us;
  std::vector<double> freeze_us;
  DW_TRY_ASSIGN(auto session, Session::start(*bench.host, kGpuCtx));
  DW_TRY(session->append(bench.text(0, kTokens)));
  DW_TRY(session->actor().freeze());
  Snapshot snapshot;
  std::uint32_t n = kTokens;
  for (int i = -1; i < kTurns; ++i, n += kTurn) {
    const Stopwatch get;
    DW_TRY(peer->get_state({state.data, peer->state_bytes()}, state.size));
    if (i >= 0) get_us.push_back(get.elapsed_us());
    const Stopwatch save;
    DW_TRY(peer->save_state(file));
    if (i >= 0) save_us.push_back(save.elapsed_us());
    DW_TRY(session->append(bench.text(n, kTurn)));
    const Stopwatch freeze;
    DW_TRY_ASSIGN(snapshot, session->actor().freeze());
    if (i >= 0) freeze_us.push_back(freeze.elapsed_us());
  }
  bench.add_ratio("freeze_vs_state_get_4096", get_us, freeze_us, 5,
                  "libllama's state of 4,096 tokens into pinned memory / freeze of a live actor of 4,096 tokens and "
                  "more, 100 since its last");
  bench.add_ratio("freeze_vs_state_save_4096", save_us, freeze_us, 50,
                  "the same against libllama's state saved to a file, the page cache warm");

  // One snapshot of 4,096 tokens, thawed again and again.
  DW_TRY_ASSIGN(auto source, Session::start(*bench.host, kGpuCtx));
  DW_TRY(source->append(bench.text(0, kTokens)));
  DW_TRY_ASSIGN(snapshot, source->actor().freeze());
  Thaws cold;
  Thaws unmapped;
  Thaws warm;
  Thaws again;
  std::vector<double> set_us;
  std::vector<double> load_us;
  std::vector<double> prefill_us;
  const auto thaw = [&](Thaws& thaws, bool keep) -> Result<void> {
    const MirrorUse before = mirrors->use();
    const Stopwatch watch;
    DW_TRY_ASSIGN(const auto thawed, Session::thaw(*bench.host, snapshot));
    const double actor_us = watch.elapsed_us();
    DW_TRY(thawed->generate(1));
    const double us = watch.elapsed_us();
    if (!keep) return {};
    const MirrorUse after = mirrors->use();
    thaws.us.push_back(us);
    thaws.actor_us.push_back(actor_us);
    thaws.mirror_us.push_back(static_cast<double>(after.prepare_ns - before.prepare_ns) / 1e3);
    thaws.copy_us.push_back(static_cast<double>(after.copy_in_ns - before.copy_in_ns) / 1e3);
    thaws.maps = after.maps - before.maps;
    return {};
  };
  for (int i = -2; i < kThaws; ++i) {
    mirrors->drop();
    DW_TRY(thaw(unmapped, i >= 0));
    mirrors->forget();
    DW_TRY(thaw(cold, i >= 0));
    // Whoever had the rows on the card last is still there.
    DW_TRY(source->generate(1));
    DW_TRY(source->rewind(kTokens));
    DW_TRY(thaw(warm, i >= 0));
    // Where others came and went before it, there are addresses that show the rows.
    DW_TRY(thaw(again, i >= 0));
    for (std::vector<double>* us : {&set_us, &load_us}) {
      DW_TRY(peer->rewind(0));
      const Stopwatch watch;
      DW_TRY(us == &set_us ? peer->set_state({state.data, state.size}) : peer->load_state(file));
      DW_TRY(peer->append(bench.text(kTokens, 1)));
      DW_TRY(peer->picked());
      if (i >= 0) us->push_back(watch.elapsed_us());
    }
    if (i < 4) {
      DW_TRY_ASSIGN(auto fresh, Session::start(*bench.host, kGpuCtx));
      const Stopwatch watch;
      DW_TRY(fresh->append(bench.text(0, kTokens)));
      if (i >= 0) prefill_us.push_back(watch.elapsed_us());
    }
  }
  const char* counts = "libllama's state {} and one token / thaw and one token, {}";
  bench.add_ratio("thaw_token_cold_vs_set_4096", set_us, cold.us, 1,
                  fmt::format(fmt::runtime(counts), "set from pinned memory", "the rows no longer on the card"));
  bench.add_ratio("thaw_token_unmapped_vs_set_4096", set_us, unmapped.us, std::nullopt,
                  fmt::format(fmt::runtime(counts), "set from pinned memory",
                              "the rows no longer on the card, and no addresses left for them"));
  bench.add_ratio("thaw_token_warm_vs_set_4096", set_us, warm.us, 2,
                  fmt::format(fmt::runtime(counts), "set from pinned memory", "the rows still on the card"));
  bench.add_ratio("thaw_token_again_vs_set_4096", set_us, again.us, std::nullopt,
                  fmt::format(fmt::runtime(counts), "set from pinned memory",
                              "the rows still on the card, at addresses of an actor that is gone"));
  bench.add_ratio("thaw_token_vs_file_4096", load_us, warm.us, 5,
                  fmt::format(fmt::runtime(counts), "loaded from a file", "the rows still on the card"));
  std::vector<double> against;
  for (const double us : prefill_us) against.push_back(us / summarize(warm.us).median);
  bench.report.add({.name = "thaw_vs_prefill_4096",
                    .unit = "ratio",
                    .better = Better::more,
                    .counts = "Driftwood's own prefill of 4,096 tokens / thaw and one token, mirror still there",
                    .summary = summarize(std::move(against)),
                    .goal = 15});
  cold.add_parts_to(bench.report, "cold");
  unmapped.add_parts_to(bench.report, "unmapped");
  warm.add_parts_to(bench.report, "warm");
  again.add_parts_to(bench.report, "again");
  return {};
}

}  // namespace driftwood::bench
