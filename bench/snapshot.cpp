// Freeze and thaw of an actor in memory, against libllama's state and against prefill.

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "benchmark.hpp"
#include "core/clock.hpp"
#include "input.hpp"
#include "interleave.hpp"
#include "peer_llama.hpp"
#include "scratch_folder.hpp"
#include "session.hpp"
#include "snapshot/store.hpp"

namespace driftwood::bench {
namespace {

constexpr std::uint32_t kFewTokens = 24;
constexpr std::uint32_t kManyTokens = 4096;
constexpr std::uint32_t kTurnTokens = 100;

struct Sizes {
  std::uint32_t tokens;  ///< of the long context
  int actors;            ///< that are built and frozen for the first time
  int turns;             ///< freezes after a turn more
  int thaws;
  int decodes;  ///< thaws or state loads, each with one token
};

Sizes sizes(bool short_run) {
  if (short_run) return {512, 1, 4, 30, 3};
  return {kManyTokens, 5, 12, 201, 15};
}

/// Everything that the measurements share.
struct Bench {
  std::unique_ptr<SessionHost> host;
  std::unique_ptr<PeerContext> peer;
  std::vector<Token> tokens;
  Sizes sizes;
  std::uint32_t n_ctx = 0;
  Report report{"snapshot"};

  std::span<const Token> text(std::size_t first, std::size_t count) const {
    return std::span(tokens).subspan(first, count);
  }
  std::string at(std::string_view name) const { return fmt::format("{}_{}", name, sizes.tokens); }
  /// Goals are for the long context.
  std::optional<double> goal(double value) const {
    return sizes.tokens == kManyTokens ? std::optional(value) : std::nullopt;
  }
};

/// An actor that has seen the first `n` tokens.
Result<std::unique_ptr<Session>> session_of(Bench& bench, std::uint32_t n) {
  DW_TRY_ASSIGN(auto session, Session::start(*bench.host, bench.n_ctx));
  DW_TRY(session->append(bench.text(0, n)));
  return session;
}

struct PeerTimes {
  std::vector<double> get_us;   ///< one for each actor that is frozen for the first time
  std::vector<double> save_us;  ///< likewise
  double save_bytes = 0;
};

/// libllama's state, as bytes and as a file.
Result<PeerTimes> time_peer(Bench& bench) {
  DW_TRY_ASSIGN(const auto folder, ScratchFolder::create());
  std::vector<std::uint8_t> state;
  PeerTimes times;
  for (int i = -1; i < bench.sizes.actors; ++i) {
    const Stopwatch get;
    DW_TRY(bench.peer->get_state(state));
    if (i >= 0) times.get_us.push_back(get.elapsed_us());
    const Stopwatch save;
    DW_TRY(bench.peer->save_state(folder->path() / "state"));
    if (i >= 0) times.save_us.push_back(save.elapsed_us());
  }
  times.save_bytes = static_cast<double>(std::filesystem::file_size(folder->path() / "state"));
  return times;
}

/// What it costs to freeze actors: the first time, and after each turn more. Leaves a snapshot at `sizes.tokens`.
Result<Snapshot> measure_freezes(Bench& bench, const PeerTimes& peer, double& prefill_us) {
  std::vector<double> first_us;
  std::vector<double> prefills_us;
  Snapshot snapshot;
  std::unique_ptr<Session> session;
  for (int i = 0; i < bench.sizes.actors; ++i) {
    const Stopwatch prefill;
    DW_TRY_ASSIGN(session, session_of(bench, bench.sizes.tokens));
    prefills_us.push_back(prefill.elapsed_us());
    const Stopwatch watch;
    DW_TRY_ASSIGN(Snapshot frozen, session->actor().freeze());
    first_us.push_back(watch.elapsed_us());
    snapshot = std::move(frozen);
  }
  std::vector<double> turn_us;
  std::uint32_t n = bench.sizes.tokens;
  for (int i = 0; i < bench.sizes.turns; ++i, n += kTurnTokens) {
    DW_TRY(session->append(bench.text(n, kTurnTokens)));
    const Stopwatch watch;
    DW_TRY(session->actor().freeze());
    turn_us.push_back(watch.elapsed_us());
  }
  prefill_us = summarize(std::move(prefills_us)).median;
  bench.report.add(
      {.name = bench.at("freeze_us"),
       .unit = "us",
       .better = Better::less,
       .counts = fmt::format("freeze in memory of a live actor that goes on, {} tokens (one pass) since its "
                             "last freeze, {} to {} tokens in all",
                             kTurnTokens, bench.sizes.tokens + kTurnTokens, n),
       .summary = summarize(std::move(turn_us)),
       .goal = bench.goal(300)});
  bench.report.add({.name = bench.at("first_freeze_us"),
                    .unit = "us",
                    .better = Better::less,
                    .counts = fmt::format("the first freeze of an actor with {} tokens, all new", bench.sizes.tokens),
                    .summary = summarize(first_us),
                    .goal = bench.goal(6000)});
  bench.report.add({.name = bench.at("first_freeze_vs_state_save"),
                    .unit = "ratio",
                    .better = Better::less,
                    .counts = "the same against libllama's llama_state_save_file into the page cache",
                    .summary = summarize(pair_ratios(first_us, peer.save_us)),
                    .goal = bench.goal(0.1)});
  bench.report.add({.name = bench.at("first_freeze_vs_state_get"),
                    .unit = "ratio",
                    .better = Better::less,
                    .counts = "the same against libllama's llama_state_get_data into memory that is there",
                    .summary = summarize(pair_ratios(first_us, peer.get_us)),
                    .goal = {}});
  bench.report.add_fact("state_save_us", summarize(peer.save_us).median);
  bench.report.add_fact("state_get_us", summarize(peer.get_us).median);
  return snapshot;
}

/// Microseconds from a snapshot to the end of the guest's first message.
Result<double> time_thaw(Bench& bench, const Snapshot& snapshot, Token expected) {
  const Stopwatch watch;
  DW_TRY_ASSIGN(const auto session, Session::thaw(*bench.host, snapshot));
  DW_TRY_ASSIGN(const Token answer, session->ping());
  const double us = watch.elapsed_us();
  if (answer != expected) return fail(ErrorCode::internal, "A thawed actor's state is not what was frozen.");
  return us;
}

Result<void> measure_thaws(Bench& bench, const Snapshot& snapshot) {
  DW_TRY_ASSIGN(const auto few, session_of(bench, kFewTokens));
  DW_TRY_ASSIGN(const Token few_next, few->ping());
  DW_TRY_ASSIGN(const Snapshot small, few->actor().freeze());
  DW_TRY_ASSIGN(const auto whole, Session::thaw(*bench.host, snapshot));
  DW_TRY_ASSIGN(const Token next, whole->ping());
  const Measurement sides[] = {[&] { return time_thaw(bench, small, few_next); },
                               [&] { return time_thaw(bench, snapshot, next); }};
  DW_TRY_ASSIGN(auto us, interleave(sides, {.warm_up = 3, .at_most = bench.sizes.thaws}));
  const char* counts = "thaw of a snapshot in memory until the guest has answered its first message, {} tokens";
  const std::vector<double> ratios = pair_ratios(us[1], us[0]);
  bench.report.add({.name = fmt::format("thaw_us_{}", kFewTokens),
                    .unit = "us",
                    .better = Better::less,
                    .counts = fmt::format(fmt::runtime(counts), kFewTokens),
                    .summary = summarize(std::move(us[0])),
                    .goal = bench.goal(100)});
  bench.report.add({.name = bench.at("thaw_us"),
                    .unit = "us",
                    .better = Better::less,
                    .counts = fmt::format(fmt::runtime(counts), bench.sizes.tokens),
                    .summary = summarize(std::move(us[1])),
                    .goal = bench.goal(100)});
  bench.report.add(
      {.name = bench.at("thaw_ratio"),
       .unit = "ratio",
       .better = Better::less,
       .counts = fmt::format("the second against the first: {} tokens against {}", bench.sizes.tokens, kFewTokens),
       .summary = summarize(ratios),
       .goal = bench.goal(1.5)});
  return {};
}

Result<void> measure_first_tokens(Bench& bench, const Snapshot& snapshot, double prefill_us) {
  DW_TRY_ASSIGN(const auto whole, Session::thaw(*bench.host, snapshot));
  DW_TRY_ASSIGN(const Token next, whole->ping());
  DW_TRY_ASSIGN(const Token after, whole->generate(1));
  std::vector<std::uint8_t> state;
  DW_TRY(bench.peer->get_state(state));

  std::vector<double> ours_us;
  std::vector<double> theirs_us;
  for (int i = -2; i < bench.sizes.decodes; ++i) {
    const Stopwatch ours;
    DW_TRY_ASSIGN(const auto session, Session::thaw(*bench.host, snapshot));
    DW_TRY_ASSIGN(const Token token, session->generate(1));
    if (i >= 0) ours_us.push_back(ours.elapsed_us());
    if (token != after) return fail(ErrorCode::internal, "A thawed actor's token is another than the live one's.");

    bench.peer->resume();
    const Stopwatch theirs;
    DW_TRY(bench.peer->set_state(state));
    DW_TRY(bench.peer->forward({&next, 1}));
    if (i >= 0) theirs_us.push_back(theirs.elapsed_us());
    bench.peer->pause();
  }
  std::vector<double> against_prefill;
  for (const double us : ours_us) against_prefill.push_back(prefill_us / us);
  bench.report.add({.name = bench.at("thaw_token_vs_state_load"),
                    .unit = "ratio",
                    .better = Better::more,
                    .counts = "libllama's llama_state_set_data and one token / thaw and one token, chosen by the guest",
                    .summary = summarize(pair_ratios(theirs_us, ours_us)),
                    .goal = bench.goal(1.3)});
  bench.report.add({.name = bench.at("thaw_token_us"),
                    .unit = "us",
                    .better = Better::less,
                    .counts = "thaw and one token",
                    .summary = summarize(std::move(ours_us)),
                    .goal = {}});
  bench.report.add({.name = bench.at("thaw_vs_prefill"),
                    .unit = "ratio",
                    .better = Better::more,
                    .counts = "Driftwood's own prefill / thaw and one token",
                    .summary = summarize(std::move(against_prefill)),
                    .goal = bench.goal(500)});
  return {};
}

/// Saves of one turn more, each on the one before.
Result<void> measure_saves(Bench& bench, const Snapshot& snapshot, const PeerTimes& peer) {
  DW_TRY_ASSIGN(const auto folder, ScratchFolder::create());
  DW_TRY_ASSIGN(const auto store, Store::open({.folder = folder->path() / "store"}));
  const Stopwatch first;
  DW_TRY_ASSIGN(SnapshotId saved, store->save(snapshot));
  bench.report.add_fact("first_save_us", first.elapsed_us());
  DW_TRY(store->sync());
  DW_TRY_ASSIGN(const auto session, Session::thaw(*bench.host, snapshot));
  session->actor().set_saved(saved);

  std::vector<double> time_ratios;
  std::vector<double> bytes_ratios;
  std::vector<double> us;
  std::vector<double> load_us;
  const double peer_us = summarize(peer.save_us).median;
  std::uint32_t n = bench.sizes.tokens;
  for (int i = 0; i < bench.sizes.turns; ++i, n += kTurnTokens) {
    DW_TRY(session->append(bench.text(n, kTurnTokens)));
    DW_TRY_ASSIGN(const Snapshot turn, session->actor().freeze());
    const Stopwatch watch;
    DW_TRY_ASSIGN(saved, store->save(turn));
    us.push_back(watch.elapsed_us());
    time_ratios.push_back(us.back() / peer_us);
    session->actor().set_saved(saved);
    DW_TRY_ASSIGN(const SnapshotInfo info, store->info(saved));
    bytes_ratios.push_back(static_cast<double>(info.own_bytes) / peer.save_bytes);
  }
  DW_TRY_ASSIGN(const Token next, session->ping());
  for (int i = 0; i < 11; ++i) {
    DW_TRY_ASSIGN(const auto reader, Store::open({.folder = folder->path() / "store"}));
    const Stopwatch watch;
    DW_TRY_ASSIGN(const Snapshot loaded, reader->load(saved));
    DW_TRY_ASSIGN(const auto thawed, Session::thaw(*bench.host, loaded));
    DW_TRY_ASSIGN(const Token answer, thawed->ping());
    load_us.push_back(watch.elapsed_us());
    if (answer != next) return fail(ErrorCode::internal, "A saved actor's state is not what was frozen.");
  }
  bench.report.add(
      {.name = "save_bytes_ratio",
       .unit = "ratio",
       .better = Better::less,
       .counts = fmt::format("bytes on disk of a turn of {} tokens on a saved parent of {} tokens or more / "
                             "bytes of libllama's llama_state_save_file of {} tokens",
                             kTurnTokens, bench.sizes.tokens, bench.sizes.tokens),
       .summary = summarize(std::move(bytes_ratios)),
       .goal = bench.goal(0.05)});
  bench.report.add(
      {.name = "save_time_ratio",
       .unit = "ratio",
       .better = Better::less,
       .counts = "time of the same; both end when the file is whole for every process, before the disk has it",
       .summary = summarize(std::move(time_ratios)),
       .goal = bench.goal(0.1)});
  bench.report.add({.name = "save_us",
                    .unit = "us",
                    .better = Better::less,
                    .counts = "the save of such a turn",
                    .summary = summarize(std::move(us)),
                    .goal = {}});
  bench.report.add({.name = bench.at("load_thaw_us"),
                    .unit = "us",
                    .better = Better::less,
                    .counts =
                        "load from a store that was just opened, thaw, and the first message answered; files in the "
                        "page cache",
                    .summary = summarize(std::move(load_us)),
                    .goal = {}});
  return {};
}

Result<void> add_thaw_against_prefill(Bench& bench, const Snapshot& snapshot, double prefill_us) {
  std::vector<double> ratios;
  for (int i = 0; i < 21; ++i) {
    const Stopwatch watch;
    DW_TRY_ASSIGN(const auto session, Session::thaw(*bench.host, snapshot));
    DW_TRY(session->ping());
    ratios.push_back(prefill_us / watch.elapsed_us());
  }
  bench.report.add(
      {.name = bench.at("thaw_alone_vs_prefill"),
       .unit = "ratio",
       .better = Better::more,
       .counts = fmt::format("Driftwood's own prefill of {} tokens / thaw until the first message is "
                             "answered, from which on the actor is where the prefill would have brought it",
                             bench.sizes.tokens),
       .summary = summarize(std::move(ratios)),
       .goal = {}});
  return {};
}

}  // namespace

Result<Report> run_snapshot(const Options& options) {
  DW_TRY_ASSIGN(const auto path, find_model(options.model));
  Bench bench;
  bench.sizes = sizes(options.short_run);
  bench.n_ctx = bench.sizes.tokens + kTurnTokens * (static_cast<std::uint32_t>(bench.sizes.turns) + 1) + 256;
  DW_TRY_ASSIGN(bench.tokens, text_tokens(path, bench.n_ctx));
  DW_TRY_ASSIGN(bench.host, SessionHost::create(path, options.threads));
  const int threads = bench.host->device().info().threads;
  DW_TRY_ASSIGN(auto model, PeerModel::load(path));
  DW_TRY_ASSIGN(bench.peer, PeerContext::create(std::move(model), {.n_ctx = bench.n_ctx, .threads = threads}));
  bench.report.add_fact("model", {{"file", path.filename().string()}});
  bench.report.add_fact("threads", threads);

  say("snapshot: libllama's prefill");
  DW_TRY(bench.peer->forward(bench.text(0, bench.sizes.tokens)));
  bench.peer->pause();
  say("snapshot: prefill and freeze");
  double prefill_us = 0;
  DW_TRY_ASSIGN(const PeerTimes peer, time_peer(bench));
  DW_TRY_ASSIGN(const Snapshot snapshot, measure_freezes(bench, peer, prefill_us));
  bench.report.add_fact("prefill_us", prefill_us);
  say("snapshot: thaw");
  DW_TRY(measure_thaws(bench, snapshot));
  DW_TRY(add_thaw_against_prefill(bench, snapshot, prefill_us));
  say("snapshot: save");
  DW_TRY(measure_saves(bench, snapshot, peer));
  say("snapshot: first tokens");
  DW_TRY(measure_first_tokens(bench, snapshot, prefill_us));
  return std::move(bench.report);
}

}  // namespace driftwood::bench
