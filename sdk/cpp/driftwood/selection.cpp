#include "driftwood/selection.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "driftwood/weights.hpp"

namespace driftwood::guest {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

F32x4 load(const float* from) noexcept {
  F32x4 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// The last 1 to 3 logits, filled up with -inf, whose weight is 0.
F32x4 load_partial(std::span<const float> from) noexcept {
  F32x4 value = {kNone, kNone, kNone, kNone};
  for (std::size_t lane = 0; lane < from.size(); ++lane) value[static_cast<int>(lane)] = from[lane];
  return value;
}

bool any(I32x4 lanes) noexcept {
  const auto halves = std::bit_cast<U64x2>(lanes);
  return (halves[0] | halves[1]) != 0;
}

/// True if one of a whole block is above the bound. A NaN is not.
bool block_has_above(const float* block, float bound) noexcept {
  const F32x4 limit = {bound, bound, bound, bound};
  static_assert(kSelectionBlock == 16);
  return any((load(block) > limit) | (load(block + 4) > limit) | (load(block + 8) > limit) |
             (load(block + 12) > limit));
}

/// Calls visit(i) for each logit above bound(), by token. The bound may rise on the way, between blocks.
template <typename Bound, typename Visit>
void for_each_above(std::span<const float> logits, Bound&& bound, Visit&& visit) {
  for (std::size_t start = 0; start < logits.size(); start += kSelectionBlock) {
    const std::size_t end = std::min(start + kSelectionBlock, logits.size());
    const float limit = bound();
    if (end - start == kSelectionBlock && !block_has_above(&logits[start], limit)) continue;
    for (std::size_t i = start; i < end; ++i) {
      if (logits[i] > limit) visit(i);
    }
  }
}

/// Puts the median of the first, middle and last one at the end, where partition_by_last expects the pivot.
void choose_pivot(std::span<Candidate> range) noexcept {
  Candidate& first = range.front();
  Candidate& middle = range[range.size() / 2];
  Candidate& last = range.back();
  if (comes_before(middle, first)) std::swap(first, middle);
  if (comes_before(last, first)) std::swap(first, last);
  if (comes_before(middle, last)) std::swap(middle, last);
}

struct Partition {
  std::size_t pivot;     ///< its place; all before it come before it
  std::uint64_t before;  ///< sum of the weights of those
};

Partition partition_by_last(std::span<Candidate> range) noexcept {
  const Candidate pivot = range.back();
  Partition result{0, 0};
  for (std::size_t i = 0; i + 1 < range.size(); ++i) {
    if (!comes_before(range[i], pivot)) continue;
    result.before += range[i].weight;
    std::swap(range[i], range[result.pivot++]);
  }
  std::swap(range.back(), range[result.pivot]);
  return result;
}

}  // namespace

float highest_logit(std::span<const float> logits) noexcept {
  F32x4 highest = {kNone, kNone, kNone, kNone};
  F32x4 highest_odd = highest;
  std::size_t i = 0;
  for (; i + 8 <= logits.size(); i += 8) {
    const F32x4 even = load(&logits[i]);
    const F32x4 odd = load(&logits[i + 4]);
    highest = even > highest ? even : highest;
    highest_odd = odd > highest_odd ? odd : highest_odd;
  }
  highest = highest_odd > highest ? highest_odd : highest;
  float result = std::max(std::max(highest[0], highest[1]), std::max(highest[2], highest[3]));
  for (; i < logits.size(); ++i) result = logits[i] > result ? logits[i] : result;
  return result;
}

std::int32_t highest_token(std::span<const float> logits) noexcept {
  const float highest = highest_logit(logits);
  if (highest == kNone) return -1;
  return static_cast<std::int32_t>(std::find(logits.begin(), logits.end(), highest) - logits.begin());
}

std::span<Candidate> collect_top_k(std::span<const float> logits, std::size_t k, std::span<Candidate> out) noexcept {
  std::size_t count = 0;
  float bound = kNone;
  const auto rise = [&]() {
    // Tokens come in rising order, so a later one that equals the k-th is behind it: "above" is the exact test.
    if (count + kSelectionBlock > out.size()) {
      count = keep_top_k(out.first(count), k).size();
      bound = out[0].logit;
      for (const Candidate& kept : out.first(count)) bound = std::min(bound, kept.logit);
    }
    return bound;
  };
  for_each_above(logits, rise, [&](std::size_t i) { out[count++] = {0, logits[i], static_cast<std::int32_t>(i)}; });
  return keep_top_k(out.first(count), k);
}

std::span<Candidate> collect_from(std::span<const float> logits, float floor, std::span<Candidate> out) noexcept {
  std::size_t count = 0;
  const float below = std::nextafter(floor, kNone);
  for_each_above(
      logits, [below] { return below; },
      [&](std::size_t i) { out[count++] = {0, logits[i], static_cast<std::int32_t>(i)}; });
  return out.first(count);
}

std::span<Candidate> keep_top_k(std::span<Candidate> candidates, std::size_t k) noexcept {
  if (candidates.size() <= k) return candidates;
  std::nth_element(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(k), candidates.end(),
                   comes_before);
  return candidates.first(k);
}

std::uint64_t set_weights(std::span<Candidate> candidates, float highest, float scale) noexcept {
  std::uint64_t sum = 0;
  for (std::size_t start = 0; start < candidates.size(); start += 4) {
    const std::span<Candidate> four = candidates.subspan(start, std::min<std::size_t>(4, candidates.size() - start));
    float logits[4];
    for (std::size_t lane = 0; lane < four.size(); ++lane) logits[lane] = four[lane].logit;
    const Weights4 weights = weights_of_logs((load_partial({logits, four.size()}) - highest) * scale);
    const std::uint64_t lanes[4] = {weights.low[0], weights.low[1], weights.high[0], weights.high[1]};
    for (std::size_t lane = 0; lane < four.size(); ++lane) {
      four[lane].weight = lanes[lane];
      sum += lanes[lane];
    }
  }
  return sum;
}

std::uint64_t sum_weights(std::span<const float> logits, float highest, float scale) noexcept {
  U64x2 sum = {0, 0};
  std::size_t i = 0;
  for (; i + 4 <= logits.size(); i += 4) {
    const Weights4 weights = weights_of_logs((load(&logits[i]) - highest) * scale);
    sum += weights.low + weights.high;
  }
  const Weights4 rest = weights_of_logs((load_partial(logits.subspan(i)) - highest) * scale);
  sum += rest.low + rest.high;
  return sum[0] + sum[1];
}

std::int32_t token_at_mass(std::span<const float> logits, float highest, float scale, std::uint64_t mass) noexcept {
  std::uint64_t sum = 0;
  for (std::size_t start = 0; start < logits.size(); start += 4) {
    const F32x4 four = start + 4 <= logits.size() ? load(&logits[start]) : load_partial(logits.subspan(start));
    const Weights4 weights = weights_of_logs((four - highest) * scale);
    const U64x2 halves = weights.low + weights.high;
    if (sum + halves[0] + halves[1] <= mass) {
      sum += halves[0] + halves[1];
      continue;
    }
    const std::uint64_t lanes[4] = {weights.low[0], weights.low[1], weights.high[0], weights.high[1]};
    for (std::size_t lane = 0; lane < 4; ++lane) {
      sum += lanes[lane];
      if (sum > mass) return static_cast<std::int32_t>(start + lane);
    }
  }
  return -1;
}

std::span<Candidate> keep_mass(std::span<Candidate> candidates, std::uint64_t mass) noexcept {
  std::size_t begin = 0;
  std::size_t end = candidates.size();
  while (begin < end) {
    const std::span<Candidate> range = candidates.subspan(begin, end - begin);
    choose_pivot(range);
    const Partition parts = partition_by_last(range);
    const std::size_t pivot = begin + parts.pivot;
    if (parts.before >= mass) {
      end = pivot;
    } else if (parts.before + candidates[pivot].weight >= mass) {
      return candidates.first(pivot + 1);
    } else {
      mass -= parts.before + candidates[pivot].weight;
      begin = pivot + 1;
    }
  }
  return candidates.first(begin);
}

}  // namespace driftwood::guest
