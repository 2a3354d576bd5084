// The time between an actor's tokens: what guest and executor add to the passes, and what another's prompt adds.

#include <fmt/format.h>

#include <algorithm>

#include "guests/many.h"
#include "many.hpp"
#include "many_actors.hpp"

namespace driftwood::bench {
namespace {

using Clock = ManyActors::Clock;

constexpr std::uint32_t kPrompt = 64;
constexpr std::uint32_t kLongPrompt = 2048;
constexpr std::int32_t kBeside = 2 * kLongPrompt;  // tokens: more than come beside it

double percentile(std::vector<double> values, std::size_t percent) {
  std::ranges::sort(values);
  return values[std::min(values.size() - 1, (values.size() * percent + 99) / 100 - 1)];
}

struct TokenTime {
  Clock::time_point at;
  std::uint64_t passes_ns = 0;  ///< of all passes up to then
};

Result<std::vector<TokenTime>> decode(ManyActors& actors, ActorId actor, std::uint32_t n) {
  std::vector<TokenTime> times;
  times.reserve(n);
  DW_TRY(actors.ask(actor, {MANY_REWIND, kPrompt, {}}));
  DW_TRY(actors.ask(actor, {MANY_GENERATE, static_cast<std::int32_t>(n), {}},
                    [&](std::size_t) { times.push_back({Clock::now(), actors.statistics().passes_ns}); }));
  return times;
}

/// Between neighbours that both lie in [begin, end].
std::vector<double> gaps_us(const std::vector<TokenTime>& times, Clock::time_point begin, Clock::time_point end) {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < times.size(); ++i) {
    if (times[i - 1].at < begin || times[i].at > end) continue;
    gaps.push_back(std::chrono::duration<double, std::micro>(times[i].at - times[i - 1].at).count());
  }
  return gaps;
}

struct Beside {
  std::vector<double> gaps;  ///< us
  double prompt_s = 0;
};

/// Gaps of an actor that decodes while another's prompt is computed.
Result<Beside> decode_beside_prompt(ManyActors& actors, ActorId decoder, ActorId other, const Order& prompt) {
  DW_TRY(actors.ask(other, {MANY_REWIND, 0, {}}));
  DW_TRY(actors.ask(decoder, {MANY_REWIND, kPrompt, {}}));
  std::vector<TokenTime> times;
  Clock::time_point begin;
  Clock::time_point end;
  Result<Token> computed = Token{0};
  DW_TRY(actors.ask_while(
      decoder, {MANY_GENERATE, kBeside, {}}, [&](std::size_t) { times.push_back({Clock::now(), 0}); },
      [&] {
        begin = Clock::now();
        computed = actors.ask(other, prompt);
        end = Clock::now();
      }));
  if (!computed) return std::unexpected(computed.error());
  return Beside{gaps_us(times, begin, end), std::chrono::duration<double>(end - begin).count()};
}

}  // namespace

Result<void> measure_token_times(const ManySetup& setup, Report& report) {
  say("many: time between tokens");
  const int rounds = setup.short_run ? 2 : 5;
  DW_TRY_ASSIGN(const auto actors, ManyActors::create(setup.model, setup.threads));
  DW_TRY_ASSIGN(const ActorId decoder, actors->spawn(kPrompt + kBeside + 32));
  DW_TRY_ASSIGN(const ActorId other, actors->spawn(kLongPrompt + 32));
  const auto text = std::span(setup.text);
  DW_TRY(actors->ask(decoder, {MANY_APPEND, kPrompt, {text.begin(), text.begin() + kPrompt}}));
  DW_TRY(decode(*actors, decoder, 8));

  std::vector<double> overhead;
  std::vector<double> overhead_p50;
  std::vector<double> overhead_p99;
  std::vector<double> ratios;
  std::vector<double> stretched;
  std::vector<double> tokens;
  std::vector<double> prompt_speeds;
  const Order prompt{MANY_APPEND, kLongPrompt, {text.begin(), text.begin() + kLongPrompt}};
  // The first round builds the graphs of all sizes of pieces, once in a process's life.
  for (int round = -1; round < rounds; ++round) {
    DW_TRY_ASSIGN(const Beside beside, decode_beside_prompt(*actors, decoder, other, prompt));
    if (round < 0) continue;
    // As many tokens alone: what the actor's own ones make slower is not the prompt's doing.
    const auto n = static_cast<std::uint32_t>(beside.gaps.size()) + 1;
    tokens.push_back(n);
    DW_TRY_ASSIGN(const auto alone, decode(*actors, decoder, n));
    const std::vector<double> gaps = gaps_us(alone, alone.front().at, alone.back().at);
    std::vector<double> added;
    for (std::size_t i = 1; i < alone.size(); ++i) {
      added.push_back(gaps[i - 1] - static_cast<double>(alone[i].passes_ns - alone[i - 1].passes_ns) / 1e3);
    }
    overhead_p50.push_back(percentile(added, 50));
    overhead_p99.push_back(percentile(added, 99));
    ratios.push_back(percentile(beside.gaps, 99) / percentile(gaps, 99));
    stretched.push_back(percentile(beside.gaps, 50) / percentile(gaps, 50));
    prompt_speeds.push_back(kLongPrompt / beside.prompt_s);
  }
  report.add(
      {.name = "p99_ratio",
       .unit = "ratio",
       .better = Better::less,
       .counts = fmt::format("99th percentile of the time between two tokens of an actor that decodes while "
                             "another's prompt of {} tokens is computed, over that of as many tokens alone, in turns",
                             kLongPrompt),
       .summary = summarize(std::move(ratios)),
       .goal = 2});
  report.add({.name = "p50_ratio",
              .unit = "ratio",
              .better = Better::less,
              .counts = "their medians likewise",
              .summary = summarize(std::move(stretched)),
              .goal = {}});
  report.add({.name = "beside_prompt_tokens_per_s",
              .unit = "tokens/s",
              .better = Better::more,
              .counts = fmt::format("the speed at which that prompt of {} tokens is computed meanwhile", kLongPrompt),
              .summary = summarize(std::move(prompt_speeds)),
              .goal = {}});
  const double n = summarize(std::move(tokens)).median;
  const char* counts =
      "between two tokens that an actor emits, less the pass over the model: guest, host calls, "
      "executor; {} over {:.0f} tokens";
  report.add({.name = "overhead_us_p50",
              .unit = "us",
              .better = Better::less,
              .counts = fmt::format(fmt::runtime(counts), "median", n),
              .summary = summarize(std::move(overhead_p50)),
              .goal = 30});
  report.add({.name = "overhead_us_p99",
              .unit = "us",
              .better = Better::less,
              .counts = fmt::format(fmt::runtime(counts), "99th percentile", n),
              .summary = summarize(std::move(overhead_p99)),
              .goal = 100});
  return {};
}

}  // namespace driftwood::bench
