// The softmax of a chunk's scores, and the merging of partial ones.
//
// Included by Highway's foreach_target sources only, once for each target.
#if defined(DRIFTWOOD_DEVICE_CPU_ATTENTION_SOFTMAX_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef DRIFTWOOD_DEVICE_CPU_ATTENTION_SOFTMAX_INL
#undef DRIFTWOOD_DEVICE_CPU_ATTENTION_SOFTMAX_INL
#else
#define DRIFTWOOD_DEVICE_CPU_ATTENTION_SOFTMAX_INL
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "device/cpu/attention_kernels.hpp"
#include "device/cpu/attention_rows-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace driftwood::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float kLowestExponent = -80.0F;  // below this a weight is lost beside 1 anyway

/// exp(x) for x from kLowestExponent to 0, to 2 units in the last place, where Highway's takes twice the operations to
/// be right for all x: 2^n exp(r), n the whole number next to x / ln 2, exp(r) by the polynomial of Cephes' expf.
HWY_INLINE Vec exponential(Vec x) {
  const Float d;
  const hn::RebindToSigned<Float> di;
  // Adding it rounds to a whole number, which the last bits of the sum then are.
  const Vec rounder = hn::Set(d, 12582912.0F);  // 1.5 * 2^23
  const Vec shifted = hn::MulAdd(x, hn::Set(d, 1.44269504088896341F), rounder);
  const Vec n = hn::Sub(shifted, rounder);
  const Vec r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4F), hn::NegMulAdd(n, hn::Set(d, 0.693359375F), x));
  Vec p = hn::Set(d, 1.9875691500e-4F);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3F));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3F));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2F));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1F));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1F));
  const Vec fraction = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0F));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, fraction), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}

/// The same where x is not below kLowestExponent, else 0.
HWY_INLINE Vec weight_of(Vec x) {
  const Vec lowest = hn::Set(Float(), kLowestExponent);
  return hn::IfThenElseZero(hn::Gt(x, lowest), exponential(hn::Max(x, lowest)));
}

/// Of kChunk numbers.
HWY_INLINE float max_of(const float* x) {
  const Float d;
  const std::uint32_t lanes = static_cast<std::uint32_t>(hn::Lanes(d));
  Vec largest = hn::LoadU(d, x);
  for (std::uint32_t i = lanes; i < kChunk; i += lanes) largest = hn::Max(largest, hn::LoadU(d, x + i));
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

HWY_INLINE void apply_softcap(float* x, std::uint32_t n, float cap) {
  const Float d;
  const std::uint32_t lanes = static_cast<std::uint32_t>(hn::Lanes(d));
  const Vec inverse = hn::Set(d, 1.0F / cap);
  for (std::uint32_t i = 0; i < n; i += lanes) {
    hn::StoreU(hn::Mul(hn::Set(d, cap), hn::Tanh(d, hn::Mul(hn::LoadU(d, x + i), inverse))), d, x + i);
  }
}

/// x[i] = exp(x[i] - maximum) for i < kChunk; the sum. Entries of -infinity become 0.
HWY_INLINE float exponentials(float* x, float maximum) {
  const Float d;
  const std::uint32_t lanes = static_cast<std::uint32_t>(hn::Lanes(d));
  Vec sum = hn::Zero(d);
  for (std::uint32_t i = 0; i < kChunk; i += lanes) {
    const Vec weight = weight_of(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, maximum)));
    hn::StoreU(weight, d, x + i);
    sum = hn::Add(sum, weight);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

/// Scores become weights: exp(score - maximum) where the row sees the token, else 0.
HWY_INLINE void softmax_rows(const QueryRows& queries, std::uint32_t columns, float softcap, float* scores,
                             const Partials& out) {
  for (std::uint32_t r = 0; r < queries.n; ++r) {
    float* row = scores + std::size_t{r} * kChunk;
    const std::uint32_t first = queries.first[r];
    const std::uint32_t last = queries.last[r];
    if (first >= last) {
      for (std::uint32_t t = 0; t < columns; ++t) row[t] = 0.0F;
      out.sum[r] = 0.0F;
      continue;
    }
    // Before the others are hidden: a capped -infinity would be a number.
    if (softcap != 0.0F) apply_softcap(row, columns, softcap);
    for (std::uint32_t t = 0; t < first; ++t) row[t] = -std::numeric_limits<float>::infinity();
    for (std::uint32_t t = last; t < kChunk; ++t) row[t] = -std::numeric_limits<float>::infinity();
    out.maximum[r] = max_of(row);
    out.sum[r] = exponentials(row, out.maximum[r]);
  }
}

/// How one row's partials of up to kMostMerged chunks enter its running result: values = values * keep + theirs *
/// weight.
struct MergeFactors {
  static constexpr std::uint32_t kMostMerged = 64;
  alignas(64) float keep[kMostMerged];
  alignas(64) float weight[kMostMerged];  // 0: not at all
};

/// a * b + c, rounded as vectors are: a compiler's choice could differ from place to place.
HWY_INLINE float multiply_and_add(float a, float b, float c) {
  const hn::CappedTag<float, 1> d;
  return hn::GetLane(hn::MulAdd(hn::Set(d, a), hn::Set(d, b), hn::Set(d, c)));
}

/// The factors for n chunks whose numbers lie `stride` floats apart; maximum and sum become those of all.
HWY_INLINE void find_merge_factors(const float* maxima, const float* sums, std::size_t stride, std::uint32_t n,
                                   float& maximum, float& sum, MergeFactors& factors) {
  const Float d;
  // One of the two factors is exp(0), the other one's exponent is found first for all chunks.
  bool larger[MergeFactors::kMostMerged];
  alignas(64) float exponentials[MergeFactors::kMostMerged] = {};
  float running = maximum;
  bool any = sum != 0.0F;
  for (std::uint32_t i = 0; i < n; ++i) {
    const float found = maxima[i * stride];
    if (sums[i * stride] == 0.0F) continue;
    larger[i] = !any || found > running;
    exponentials[i] = any ? (larger[i] ? running - found : found - running) : -std::numeric_limits<float>::infinity();
    if (larger[i]) running = found;
    any = true;
  }
  for (std::uint32_t i = 0; i < n; i += kLanes) {
    hn::Store(weight_of(hn::Load(d, exponentials + i)), d, exponentials + i);
  }
  for (std::uint32_t i = 0; i < n; ++i) {
    const float found = sums[i * stride];
    factors.keep[i] = found == 0.0F || !larger[i] ? 1.0F : exponentials[i];
    factors.weight[i] = found == 0.0F ? 0.0F : larger[i] ? 1.0F : exponentials[i];
    sum = multiply_and_add(found, factors.weight[i], sum * factors.keep[i]);
  }
  maximum = running;
}

/// into = what the factors make of it and of `n` chunks' values, `stride` floats apart, for kVectors vectors of
/// dimensions at a time: each one's sum waits for itself.
template <std::uint32_t kVectors>
HWY_INLINE void merge_values(const MergeFactors& factors, const float* values, std::size_t stride, std::uint32_t n,
                             float* into) {
  const Float d;
  Vec merged[kVectors];
  for (std::uint32_t v = 0; v < kVectors; ++v) merged[v] = hn::LoadU(d, into + v * kLanes);
  for (std::uint32_t i = 0; i < n; ++i) {
    if (factors.weight[i] == 0.0F) continue;
    const Vec keep = hn::Set(d, factors.keep[i]);
    const Vec weight = hn::Set(d, factors.weight[i]);
    for (std::uint32_t v = 0; v < kVectors; ++v) {
      merged[v] = hn::MulAdd(hn::LoadU(d, values + i * stride + v * kLanes), weight, hn::Mul(merged[v], keep));
    }
  }
  for (std::uint32_t v = 0; v < kVectors; ++v) hn::StoreU(merged[v], d, into + v * kLanes);
}

void merge_partials(std::uint32_t n_rows, std::uint32_t head_dim, const Partials& from, std::size_t stride,
                    std::uint32_t n, const Partials& into) {
  MergeFactors factors;
  for (std::uint32_t begin = 0; begin < n; begin += MergeFactors::kMostMerged) {
    const std::uint32_t count = HWY_MIN(n - begin, MergeFactors::kMostMerged);
    const std::size_t skipped = begin * stride;
    for (std::uint32_t r = 0; r < n_rows; ++r) {
      find_merge_factors(from.maximum + skipped + r, from.sum + skipped + r, stride, count, into.maximum[r],
                         into.sum[r], factors);
      const std::size_t row = std::size_t{r} * head_dim;
      const float* values = from.values + skipped + row;
      float* merged = into.values + row;
      std::size_t dimension = 0;
      for (; dimension + 4 * kLanes <= head_dim; dimension += 4 * kLanes) {
        merge_values<4>(factors, values + dimension, stride, count, merged + dimension);
      }
      for (; dimension < head_dim; dimension += 2 * kLanes) {
        merge_values<2>(factors, values + dimension, stride, count, merged + dimension);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::cpu
HWY_AFTER_NAMESPACE();

#endif
