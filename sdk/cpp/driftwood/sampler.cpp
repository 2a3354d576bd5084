#include "driftwood/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "driftwood/weights.hpp"

namespace driftwood::guest {
namespace {

constexpr float kGreedyBelow = 0.001F;
constexpr std::uint32_t kMost = 1U << 20;
/// A logit this far below the highest one weighs nothing.
constexpr float kWeightless = 28.0F;
/// What makes a bound on logits, taken from a bound on weights, safe against the rounding of both.
constexpr float kMargin = 0.01F;

Result<void> check(const SamplerOptions& options, std::uint32_t n_vocab) {
  const auto bad = [](const char* sentence) { return fail(DW_E_INVALID_ARGUMENT, sentence); };
  const Penalties& penalties = options.penalties;
  // Written so that a NaN fails.
  if (!(n_vocab >= 1 && n_vocab <= kMost)) return bad("The vocabulary's size is not in 1 to 1048576.");
  if (!(options.temperature >= 0 && options.temperature <= 100)) return bad("The temperature is not in 0 to 100.");
  if (!(options.top_p > 0 && options.top_p <= 1)) return bad("Top-p is not above 0 and at most 1.");
  if (!(options.min_p >= 0 && options.min_p <= 1)) return bad("Min-p is not in 0 to 1.");
  if (!(penalties.repetition >= 0.01F && penalties.repetition <= 100)) {
    return bad("The repetition penalty is not in 0.01 to 100.");
  }
  if (!(std::abs(penalties.presence) <= 100)) return bad("The presence penalty is not in -100 to 100.");
  if (!(std::abs(penalties.frequency) <= 100)) return bad("The frequency penalty is not in -100 to 100.");
  if (options.penalty_window > kMost) return bad("The penalty window is above 1048576 tokens.");
  return {};
}

/// Candidates that a Sampler may have to hold at a time.
std::size_t room_for(const SamplerOptions& options, std::size_t n_vocab) {
  std::size_t room = 0;
  if (options.top_k != 0) {
    room = std::min(std::size_t{options.top_k} * 2, n_vocab);
  } else if (options.top_p < 1 || options.min_p > 0) {
    room = n_vocab;
  }
  return std::max(room + kSelectionBlock, Sampler::kListMax);
}

}  // namespace

Result<Sampler> Sampler::create(const SamplerOptions& options, std::uint32_t n_vocab) {
  DW_TRY(check(options, n_vocab));
  return Sampler(options, n_vocab);
}

Sampler::Sampler(const SamplerOptions& options, std::uint32_t n_vocab)
    : options_(options),
      n_vocab_(n_vocab),
      generator_(Generator::seeded(options.seed)),
      window_(options.penalties.off() ? 0 : options.penalty_window),
      room_(room_for(options, n_vocab)) {}

void Sampler::reset() noexcept {
  generator_ = Generator::seeded(options_.seed);
  window_.clear();
}

std::int32_t Sampler::sample(std::span<float> logits) noexcept {
  logits = logits.first(std::min<std::size_t>(logits.size(), n_vocab_));
  window_.apply(options_.penalties, logits);
  const float highest = greedy() ? 0 : highest_logit(logits);
  if (greedy() || !std::isfinite(highest)) return highest_token(logits);

  if (options_.top_k != 0) {
    const std::span<Candidate> top = collect_top_k(logits, options_.top_k, room_);
    return draw(cut_by_min_p(cut_by_top_p(top, highest)), highest);
  }
  if (options_.top_p < 1) return draw(cut_by_min_p(cut_by_top_p(logits, highest)), highest);
  if (options_.min_p > 0) {
    const float floor = highest + std::log(options_.min_p) - kMargin;
    const std::span<Candidate> likely = collect_from(logits, floor, room_);
    set_weights(likely, highest, 1);
    return draw(cut_by_min_p(likely), highest);
  }
  return draw_from_all(logits, highest);
}

std::int32_t Sampler::sample(std::span<dw_logit> list) noexcept {
  list = list.first(std::min(list.size(), kListMax));
  window_.apply(options_.penalties, list);
  const Candidate* best = nullptr;
  std::size_t count = 0;
  for (const dw_logit& entry : list) {
    if (!(entry.logit >= std::numeric_limits<float>::lowest())) continue;  // NaN or -inf
    room_[count] = {0, entry.logit, entry.token};
    if (best == nullptr || comes_before(room_[count], *best)) best = &room_[count];
    ++count;
  }
  if (best == nullptr) return -1;
  const Candidate first = *best;
  if (greedy() || !std::isfinite(first.logit)) return first.token;
  std::span<Candidate> candidates(room_.data(), count);
  if (options_.top_k != 0) candidates = keep_top_k(candidates, options_.top_k);
  return draw(cut_by_min_p(cut_by_top_p(candidates, first.logit)), first.logit);
}

bool Sampler::greedy() const noexcept { return options_.temperature <= kGreedyBelow; }

std::uint64_t Sampler::top_p_mass(std::uint64_t all) const noexcept {
  const double mass = std::ceil(static_cast<double>(options_.top_p) * static_cast<double>(all));
  return std::clamp<std::uint64_t>(static_cast<std::uint64_t>(mass), 1, all);
}

std::span<Candidate> Sampler::cut_by_top_p(std::span<const float> logits, float highest) noexcept {
  const std::uint64_t all = sum_weights(logits, highest, 1);
  const std::uint64_t mass = top_p_mass(all);
  // Tokens of this weight and less sum to `all - mass` at most: the others hold what top-p keeps.
  const std::uint64_t light = (all - mass) / logits.size();
  float floor = highest - kWeightless;
  if (light != 0) {
    const double share = static_cast<double>(light) / static_cast<double>(kWeightOne);
    floor = highest + static_cast<float>(std::log(share)) - kMargin;
  }
  const std::span<Candidate> candidates = collect_from(logits, floor, room_);
  set_weights(candidates, highest, 1);
  return keep_mass(candidates, mass);
}

std::span<Candidate> Sampler::cut_by_top_p(std::span<Candidate> candidates, float highest) const noexcept {
  const std::uint64_t all = set_weights(candidates, highest, 1);
  return options_.top_p < 1 ? keep_mass(candidates, top_p_mass(all)) : candidates;
}

std::span<Candidate> Sampler::cut_by_min_p(std::span<Candidate> candidates) const noexcept {
  if (options_.min_p <= 0) return candidates;
  const double share = std::ceil(static_cast<double>(options_.min_p) * static_cast<double>(kWeightOne));
  const auto least = static_cast<std::uint64_t>(share);
  const auto end = std::partition(candidates.begin(), candidates.end(),
                                  [least](const Candidate& candidate) { return candidate.weight >= least; });
  return candidates.first(static_cast<std::size_t>(end - candidates.begin()));
}

std::int32_t Sampler::draw(std::span<Candidate> candidates, float highest) noexcept {
  const std::uint64_t all = set_weights(candidates, highest, 1 / options_.temperature);
  return keep_mass(candidates, generator_.below(all) + 1).back().token;
}

std::int32_t Sampler::draw_from_all(std::span<const float> logits, float highest) noexcept {
  const float scale = 1 / options_.temperature;
  const std::uint64_t all = sum_weights(logits, highest, scale);
  return token_at_mass(logits, highest, scale, generator_.below(all));
}

}  // namespace driftwood::guest
