#include "device/cpu/row_kernels.hpp"

#include <ggml.h>

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "device/cpu/row_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles the rest of this file once for each target
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace driftwood::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most half a block.
using Float = hn::CappedTag<float, kBlock / 2>;
using Int = hn::RebindToSigned<Float>;
using VFloat = hn::Vec<Float>;
using VInt = hn::Vec<Int>;

void quantize_row(const float* x, ActivationRow into) {
  const Float d;
  const Int di;
  const hn::Rebind<std::int8_t, Float> d8;
  const std::size_t lanes = hn::Lanes(d);
  for (std::uint32_t b = 0; b < into.columns / kBlock; ++b, x += kBlock) {
    VFloat largest = hn::Zero(d);
    for (std::size_t i = 0; i < kBlock; i += lanes) largest = hn::Max(largest, hn::Abs(hn::LoadU(d, x + i)));
    const float magnitude = hn::GetLane(hn::MaxOfLanes(d, largest));
    const float scale = magnitude / 127.0F;
    const VFloat inverse = hn::Set(d, magnitude == 0.0F ? 0.0F : 127.0F / magnitude);
    std::int32_t* half_sums = into.half_sums() + std::size_t{2} * b;
    for (std::size_t half = 0; half < 2; ++half) {
      VInt sum = hn::Zero(di);
      for (std::size_t i = half * kBlock / 2; i < (half + 1) * kBlock / 2; i += lanes) {
        const VInt quants = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), inverse));
        hn::StoreU(hn::DemoteTo(d8, quants), d8, into.quants() + std::size_t{b} * kBlock + i);
        sum = hn::Add(sum, quants);
      }
      half_sums[half] = hn::GetLane(hn::SumOfLanes(di, sum));
    }
    const std::int32_t total = half_sums[0] + half_sums[1];
    into.scales()[b] = ggml_fp16_to_fp32(ggml_fp32_to_fp16(scale));
    into.scaled_sums()[b] = ggml_fp16_to_fp32(ggml_fp32_to_fp16(scale * static_cast<float>(total)));
  }
}

void rms_norm_row(const float* x, const float* weight, float epsilon, std::uint32_t n, float* out) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  VFloat sum = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VFloat value = hn::LoadU(d, x + i);
    sum = hn::MulAdd(value, value, sum);
  }
  float squares = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < n; ++i) squares += x[i] * x[i];
  const float factor = 1.0F / std::sqrt(squares / static_cast<float>(n) + epsilon);
  for (i = 0; i + lanes <= n; i += lanes) {
    const VFloat normed = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, factor));
    hn::StoreU(hn::Mul(normed, hn::LoadU(d, weight + i)), d, out + i);
  }
  for (; i < n; ++i) out[i] = x[i] * factor * weight[i];
}

void silu_gate_row(const float* gate, const float* up, std::uint32_t n, float* out) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  const VFloat one = hn::Set(d, 1.0F);
  const VFloat infinite = hn::Set(d, 100.0F);  // whose exponential is; that of far larger ones is no number
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VFloat g = hn::LoadU(d, gate + i);
    const VFloat silu = hn::Div(g, hn::Add(one, hn::Exp(d, hn::Min(hn::Neg(g), infinite))));
    hn::StoreU(hn::Mul(silu, hn::LoadU(d, up + i)), d, out + i);
  }
  for (; i < n; ++i) out[i] = gate[i] / (1.0F + std::exp(-gate[i])) * up[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace driftwood::cpu {

HWY_EXPORT(quantize_row);
HWY_EXPORT(rms_norm_row);
HWY_EXPORT(silu_gate_row);

void quantize_row(const float* x, ActivationRow into) { HWY_DYNAMIC_DISPATCH(quantize_row)(x, into); }

void rms_norm_row(const float* x, const float* weight, float epsilon, std::uint32_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(rms_norm_row)(x, weight, epsilon, n, out);
}

void silu_gate_row(const float* gate, const float* up, std::uint32_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(silu_gate_row)(gate, up, n, out);
}

}  // namespace driftwood::cpu
#endif  // HWY_ONCE
