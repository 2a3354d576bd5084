#include <fmt/format.h>

#include "benchmark.hpp"
#include "core/clock.hpp"
#include "forward.hpp"
#include "interleave.hpp"

namespace driftwood::bench {
namespace {

using Work = std::function<Result<void>(Contender&)>;

/// Milliseconds of `work`, after `before`, with the contender's threads awake and everybody else's at rest.
Result<double> time(Contender& contender, const Work& before, const Work& work) {
  contender.wake();
  DW_TRY(before(contender));
  const Stopwatch watch;
  DW_TRY(work(contender));
  const double ms = watch.elapsed_us() / 1e3;
  contender.rest();
  return ms;
}

std::vector<Measurement> in_turns(std::span<const std::unique_ptr<Contender>> contenders, std::string_view what,
                                  const Work& before, const Work& work) {
  std::vector<Measurement> sides;
  for (const auto& contender : contenders) {
    sides.push_back([&contender = *contender, what = std::string(what), before, work]() -> Result<double> {
      DW_TRY_ASSIGN(const double ms, time(contender, before, work));
      say(fmt::format("forward: {}, {}: {:.1f} ms", what, contender.name(), ms));
      return ms;
    });
  }
  return sides;
}

}  // namespace

Result<ForwardTimes> measure_forward(std::span<const std::unique_ptr<Contender>> contenders, std::uint32_t n,
                                     const ForwardRounds& rounds) {
  ForwardTimes times;
  const auto prefills = in_turns(
      contenders, fmt::format("prefill of {}", n), [](Contender& contender) { return contender.rewind(0); },
      [n](Contender& contender) { return contender.prefill(n); });
  DW_TRY_ASSIGN(times.prefill_ms, interleave(prefills, rounds.warm_up, rounds.prefill));

  const std::uint32_t count = rounds.decode_tokens;
  const auto decodes = in_turns(
      contenders, fmt::format("{} tokens after {}", count, n),
      [n](Contender& contender) -> Result<void> {
        // The token before the slice wakes the threads, as it would in an answer.
        DW_TRY(contender.rewind(n - 1));
        return contender.decode(n - 1, 1);
      },
      [n, count](Contender& contender) { return contender.decode(n, count); });
  DW_TRY_ASSIGN(times.decode_ms, interleave(decodes, 1, rounds.decode));
  for (auto& slices : times.decode_ms) {
    for (double& ms : slices) ms /= count;
  }
  return times;
}

Result<void> check_greedy(std::span<const std::unique_ptr<Contender>> contenders, std::uint32_t n_prompt,
                          std::uint32_t n) {
  std::vector<std::vector<Token>> chosen;
  for (const auto& contender : contenders) {
    contender->wake();
    DW_TRY(contender->rewind(0));
    DW_TRY(contender->prefill(n_prompt));
    DW_TRY_ASSIGN(auto tokens, contender->greedy(n_prompt, n));
    contender->rest();
    chosen.push_back(std::move(tokens));
  }
  for (std::size_t i = 1; i < chosen.size(); ++i) {
    if (chosen[i] == chosen[0]) return {};
  }
  const auto differ = std::ranges::mismatch(chosen[0], chosen[1]).in1 - chosen[0].begin();
  return fail(ErrorCode::internal,
              fmt::format("Driftwood's and libllama's greedy tokens differ from number {} of {} on.", differ + 1, n));
}

}  // namespace driftwood::bench
