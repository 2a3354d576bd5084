#include <fmt/format.h>

#include <algorithm>

#include "benchmark.hpp"
#include "core/clock.hpp"
#include "forward.hpp"
#include "interleave.hpp"

namespace driftwood::bench {
namespace {

/// Logits of sides whose kernels round differently (4-bit weights, 8-bit activations) lie this close together.
constexpr float kRounding = 0.25F;

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

std::size_t greedy(std::span<const float> logits) {
  return static_cast<std::size_t>(std::ranges::max_element(logits) - logits.begin());
}

}  // namespace

Result<ForwardTimes> measure_forward(std::span<const std::unique_ptr<Contender>> contenders, std::uint32_t n,
                                     const ForwardRounds& rounds) {
  ForwardTimes times;
  const auto prefills = in_turns(
      contenders, fmt::format("prefill of {}", n), [](Contender& contender) { return contender.rewind(0); },
      [n](Contender& contender) { return contender.prefill(n); });
  DW_TRY_ASSIGN(times.prefill_ms, interleave(prefills, rounds.prefill));

  const std::uint32_t count = rounds.decode_tokens;
  const auto decodes = in_turns(
      contenders, fmt::format("{} tokens after {}", count, n),
      [n](Contender& contender) -> Result<void> {
        // The token before the slice wakes the threads, as it would in an answer.
        DW_TRY(contender.rewind(n - 1));
        return contender.decode(n - 1, 1);
      },
      [n, count](Contender& contender) { return contender.decode(n, count); });
  DW_TRY_ASSIGN(times.decode_ms, interleave(decodes, rounds.decode));
  for (auto& slices : times.decode_ms) {
    for (double& ms : slices) ms /= count;
  }
  return times;
}

Result<Agreement> check_greedy(std::span<const std::unique_ptr<Contender>> contenders, std::uint32_t n_prompt,
                               std::uint32_t n) {
  for (const auto& contender : contenders) {
    contender->wake();
    DW_TRY(contender->rewind(0));
    DW_TRY(contender->prefill(n_prompt));
    contender->rest();
  }
  const auto others = contenders.subspan(1);
  std::vector<Agreement> agreements(others.size(), Agreement{.tokens = n});
  std::uint32_t others_same = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::size_t chosen = greedy(contenders[0]->logits());
    bool alike = true;
    std::size_t first_pick = 0;
    for (std::size_t other = 0; other < others.size(); ++other) {
      const std::span<const float> logits = others[other]->logits();
      if (chosen >= logits.size()) {
        return fail(ErrorCode::internal, fmt::format("{} gave {} logits, none of them for token {}.",
                                                     others[other]->name(), logits.size(), chosen));
      }
      const std::size_t pick = greedy(logits);
      if (other == 0) first_pick = pick;
      alike = alike && pick == first_pick;
      agreements[other].same += pick == chosen ? 1 : 0;
      agreements[other].largest_gap = std::max(agreements[other].largest_gap, logits[pick] - logits[chosen]);
    }
    others_same += alike ? 1 : 0;
    for (const auto& contender : contenders) {
      contender->wake();
      DW_TRY(contender->append(static_cast<Token>(chosen)));
      contender->rest();
    }
  }
  Agreement closest = std::ranges::min(agreements, {}, &Agreement::largest_gap);
  closest.others_same = others_same;
  if (closest.largest_gap <= kRounding) return closest;
  return fail(ErrorCode::internal,
              fmt::format("Of Driftwood's {} greedy tokens, libllama would pick {}, and one lies {} below its best "
                          "logit; rounding explains {}.",
                          n, closest.same, closest.largest_gap, kRounding));
}

}  // namespace driftwood::bench
