// exp(x) as integers: what probabilities are made of while sampling.
//
// A token's weight is exp(logit - highest logit) in units of 2^-40, an integer. Sums of integers do not depend on the
// order of adding, so that a cut by probability mass and a draw come out the same whatever the path that led there,
// vectors or not, and on every machine. 2^20 weights fit a 64-bit sum; below exp(-28) a weight is 0.
// No call to the host. Needs -ffp-contract=off on machines with fused multiply-add (WebAssembly has none).
#pragma once

#include <bit>
#include <cstdint>

namespace driftwood::guest {

using F32x4 = float __attribute__((vector_size(16)));
using I32x4 = std::int32_t __attribute__((vector_size(16)));
using F64x2 = double __attribute__((vector_size(16)));
using U64x2 = std::uint64_t __attribute__((vector_size(16)));

/// exp(0) as a weight.
inline constexpr std::uint64_t kWeightOne = std::uint64_t{1} << 40;

/// exp(x) for x <= 0, to within 1e-7 of its value; from -80 down, and for a NaN, it is exp(-80).
/// Reduction to |r| <= ln(2)/2 with ln(2) in two parts (W. Cody, W. Waite, 1980), then Taylor's series up to r^7, whose
/// rest is below 2^-27 there.
inline F32x4 exp_of_negative(F32x4 x) {
  const F32x4 lowest = F32x4{} - 80.0F;
  x = x > lowest ? x : lowest;
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum.
  const F32x4 shifted = x * 1.44269504F + 12582912.0F;
  const F32x4 n = shifted - 12582912.0F;
  const F32x4 r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  F32x4 series = r * (1.0F / 5040) + (1.0F / 720);
  series = series * r + (1.0F / 120);
  series = series * r + (1.0F / 24);
  series = series * r + (1.0F / 6);
  series = series * r + 0.5F;
  series = series * r + 1.0F;
  series = series * r + 1.0F;
  const I32x4 exponent = (std::bit_cast<I32x4>(shifted) - 0x4b400000) << 23;
  return std::bit_cast<F32x4>(std::bit_cast<I32x4>(series) + exponent);
}

/// Two weights from two values of exp. 2^12 as a double has units of 2^-40 in its last place: the sum's low bits are
/// the rounded weight.
inline U64x2 weights_of(F64x2 exponentials) {
  return std::bit_cast<U64x2>(exponentials + 4096.0) - std::bit_cast<std::uint64_t>(4096.0);
}

/// The weights of four values x <= 0: two and two.
struct Weights4 {
  U64x2 low;
  U64x2 high;
};
inline Weights4 weights_of_logs(F32x4 x) {
  const F32x4 e = exp_of_negative(x);
  return {weights_of(F64x2{static_cast<double>(e[0]), static_cast<double>(e[1])}),
          weights_of(F64x2{static_cast<double>(e[2]), static_cast<double>(e[3])})};
}

/// The weight of one value x <= 0: the same bits as in the vector of four.
inline std::uint64_t weight_of_log(float x) { return weights_of_logs(F32x4{x, x, x, x}).low[0]; }

}  // namespace driftwood::guest
