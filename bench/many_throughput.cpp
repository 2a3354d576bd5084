// Total speed of many sequences that decode at once, against libllama with as many in one context.

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "core/clock.hpp"
#include "guests/many.h"
#include "interleave.hpp"
#include "many.hpp"
#include "many_actors.hpp"
#include "many_libllama.hpp"

namespace driftwood::bench {
namespace {

constexpr std::uint32_t kBatchActors = 32;
constexpr std::uint32_t kBatchPrompt = 128;
constexpr std::uint32_t kForks = 64;
constexpr std::uint32_t kForkPrompt = 1024;
// Longer than the pool's threads spin when they have nothing to do.
constexpr std::chrono::milliseconds kRest{20};

struct Case {
  std::string name;
  std::string counts;
  std::uint32_t n = 0;        ///< sequences
  std::uint32_t prompt = 0;   ///< tokens
  bool shared = false;        ///< all go on from one prompt
  std::uint32_t decoded = 0;  ///< tokens of each in a measurement
  Rounds rounds;
  double goal = 0;
};

/// Sequence i's prompt, or in a fork the first token of its own.
std::span<const Token> prompt_of(const ManySetup& setup, const Case& c, std::uint32_t i) {
  return c.shared ? std::span(setup.text).first(c.prompt) : std::span(setup.text).subspan(5 * i, c.prompt);
}
Token first_of(const ManySetup& setup, std::uint32_t i) { return setup.text[kForkPrompt + 3 * i]; }

class Ours {
 public:
  static Result<std::unique_ptr<Ours>> create(const ManySetup& setup, const Case& c) {
    std::unique_ptr<Ours> self(new Ours(c));
    DW_TRY_ASSIGN(self->actors_, ManyActors::create(setup.model, setup.threads));
    const std::uint32_t n_ctx = c.prompt + 2 * c.decoded + 64;
    for (std::uint32_t i = 0; i < (c.shared ? 1 : c.n); ++i) {
      const auto prompt = prompt_of(setup, c, i);
      DW_TRY_ASSIGN(const ActorId actor, self->actors_->spawn(n_ctx));
      DW_TRY(self->actors_->ask(
          actor, {MANY_APPEND, static_cast<std::int32_t>(prompt.size()), {prompt.begin(), prompt.end()}}));
      self->ids_.push_back(actor);
    }
    if (c.shared) {
      DW_TRY_ASSIGN(self->ids_, self->actors_->node().fork(self->ids_.front(), c.n));
    }
    for (std::uint32_t i = 0; i < c.n; ++i) {
      const Token first = c.shared ? first_of(setup, i) : prompt_of(setup, c, i).back();
      self->begin_.push_back({MANY_APPEND, 1, {first}});
    }
    return self;
  }

  /// Back to the prompt, then some tokens from each: seconds.
  Result<double> decode() {
    const Order rewind{MANY_REWIND, static_cast<std::int32_t>(case_.shared ? case_.prompt : case_.prompt - 1), {}};
    DW_TRY(actors_->ask_all(ids_, {&rewind, 1}));
    DW_TRY(actors_->ask_all(ids_, begin_));
    const Order generate{MANY_GENERATE, static_cast<std::int32_t>(case_.decoded), {}};
    DW_TRY_ASSIGN(ManyActors::All all, actors_->ask_all(ids_, {&generate, 1}));
    tokens_ = std::move(all.tokens);
    std::this_thread::sleep_for(kRest);
    return all.seconds;
  }
  /// The last tokens of a measurement are those that each actor has when it is alone.
  Result<void> check() {
    for (std::size_t i = 0; i < ids_.size(); i += ids_.size() / 4) {
      const auto rewind = static_cast<std::int32_t>(case_.shared ? case_.prompt : case_.prompt - 1);
      DW_TRY(actors_->ask(ids_[i], {MANY_REWIND, rewind, {}}));
      DW_TRY(actors_->ask(ids_[i], begin_[i]));
      DW_TRY_ASSIGN(const Token alone,
                    actors_->ask(ids_[i], {MANY_GENERATE, static_cast<std::int32_t>(case_.decoded), {}}));
      if (alone != tokens_[i]) {
        return fail(ErrorCode::internal, fmt::format("Actor {} ends with token {} among {}, and alone with {}.", i,
                                                     tokens_[i], ids_.size(), alone));
      }
    }
    return {};
  }
  ManyActors& actors() { return *actors_; }

 private:
  explicit Ours(const Case& c) : case_(c) {}
  const Case& case_;
  std::unique_ptr<ManyActors> actors_;
  std::vector<ActorId> ids_;
  std::vector<Order> begin_;
  std::vector<Token> tokens_;
};

Result<std::unique_ptr<PeerBatch>> make_peer(const ManySetup& setup, const Case& c, bool flash) {
  const std::uint32_t own = 2 * c.decoded + 64;
  PeerBatchOptions options{.sequences = c.n, .threads = setup.threads, .flash_attention = flash, .unified = c.shared};
  options.n_ctx = c.shared ? c.prompt + c.n * own : c.n * (c.prompt + own);
  DW_TRY_ASSIGN(auto peer, PeerBatch::create(setup.model, options));
  for (std::uint32_t i = 0; i < (c.shared ? 1 : c.n); ++i) DW_TRY(peer->prefill(i, prompt_of(setup, c, i), 0));
  if (c.shared) DW_TRY(peer->copy_first());
  peer->pause();
  return peer;
}

Result<double> decode(PeerBatch& peer, const ManySetup& setup, const Case& c) {
  peer.resume();
  std::uint32_t n_past = c.shared ? c.prompt : c.prompt - 1;
  DW_TRY(peer.rewind(n_past));
  std::vector<Token> tokens;
  for (std::uint32_t i = 0; i < c.n; ++i) {
    tokens.push_back(c.shared ? first_of(setup, i) : prompt_of(setup, c, i).back());
  }
  DW_TRY(peer.step(tokens, n_past++));
  const Stopwatch watch;
  for (std::uint32_t i = 0; i < c.decoded; ++i) DW_TRY(peer.step(tokens, n_past++));
  const double seconds = watch.elapsed_s();
  peer.pause();
  return seconds;
}

cli::Json batch_sizes(const ExecutorStatistics& statistics) {
  cli::Json sizes = cli::Json::array();
  for (const std::uint64_t passes : statistics.by_sequences) sizes.push_back(passes);
  return sizes;
}

/// Adds the ratio to `report`, all sides' speed to `speeds`, and how many passes served how many to `passes`.
Result<void> measure(const ManySetup& setup, const Case& c, Report& report, cli::Json& speeds, cli::Json& passes) {
  say("many: " + c.name);
  DW_TRY_ASSIGN(const auto ours, Ours::create(setup, c));
  DW_TRY_ASSIGN(const auto on, make_peer(setup, c, true));
  DW_TRY_ASSIGN(const auto off, make_peer(setup, c, false));
  const std::array<Measurement, 3> sides = {[&] { return ours->decode(); }, [&] { return decode(*on, setup, c); },
                                            [&] { return decode(*off, setup, c); }};
  DW_TRY_ASSIGN(const auto seconds, interleave(sides, c.rounds));
  DW_TRY(ours->check());
  const std::size_t peer = summarize(seconds[1]).median <= summarize(seconds[2]).median ? 1 : 2;
  const double tokens = c.n * c.decoded;
  report.add({.name = c.name + "_ratio",
              .unit = "ratio",
              .better = Better::more,
              .counts = fmt::format("time of {} / time of Driftwood, each measurement against its neighbour: {}",
                                    (peer == 1 ? on : off)->name(), c.counts),
              .summary = summarize(pair_ratios(seconds[peer], seconds[0])),
              .goal = c.goal});
  speeds[c.name] = {{"driftwood", tokens / summarize(seconds[0]).median},
                    {on->name(), tokens / summarize(seconds[1]).median},
                    {off->name(), tokens / summarize(seconds[2]).median},
                    {"counted", (peer == 1 ? on : off)->name()}};
  passes[c.name] = batch_sizes(ours->actors().statistics());
  return {};
}

}  // namespace

Result<void> measure_throughput(const ManySetup& setup, Report& report) {
  const int most = setup.short_run ? 2 : 9;
  const std::uint32_t decoded = setup.short_run ? 8 : 32;
  cli::Json speeds = cli::Json::object();
  cli::Json passes = cli::Json::object();
  DW_TRY(
      measure(setup,
              {.name = "batch32",
               .counts = "32 actors in a node that each decode after a prompt of 128 tokens, from the first message to "
                         "the last reply, against a context with 32 sequences and its batched decode",
               .n = kBatchActors,
               .prompt = kBatchPrompt,
               .decoded = decoded,
               .rounds = {.warm_up = 1, .at_most = most, .at_least = 2, .seconds = 60},
               .goal = 1.5},
              report, speeds, passes));
  DW_TRY(
      measure(setup,
              {.name = "fork64",
               .counts = "64 actors forked from a prompt of 1,024 tokens, each with another token after it, from the "
                         "first message to the last reply, against 64 sequences by seq_cp in a unified cache",
               .n = kForks,
               .prompt = kForkPrompt,
               .shared = true,
               .decoded = decoded / 2,
               .rounds = {.warm_up = 1, .at_most = most, .at_least = 2, .seconds = 90},
               .goal = 3.0},
              report, speeds, passes));
  report.add_fact("tokens_per_s", std::move(speeds));
  report.add_fact("passes_by_sequences", std::move(passes));
  return {};
}

}  // namespace driftwood::bench
