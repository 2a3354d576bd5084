#include "bench/limits_kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/limits_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles the rest of this file once for each target
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace driftwood::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t kChains = 12;  // as many as hide the latency of two units

double multiply_and_add(std::uint64_t rounds, float& keep) {
  const hn::ScalableTag<float> d;
  hn::Vec<decltype(d)> sums[kChains];
  for (std::size_t i = 0; i < kChains; ++i) sums[i] = hn::Set(d, 1.0F + static_cast<float>(i));
  const auto factor = hn::Set(d, 0.999F);
  const auto add = hn::Set(d, 0.001F);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    for (auto& sum : sums) sum = hn::MulAdd(sum, factor, add);
  }
  auto total = sums[0];
  for (std::size_t i = 1; i < kChains; ++i) total = hn::Add(total, sums[i]);
  keep += hn::GetLane(hn::SumOfLanes(d, total));
  return 2.0 * static_cast<double>(rounds * kChains * hn::Lanes(d));
}

#if HWY_TARGET == HWY_SCALAR || (HWY_ARCH_X86 && HWY_TARGET > HWY_SSSE3)

double multiply_bytes(std::uint64_t rounds, std::int64_t& sum) {
  for (std::uint64_t round = 0; round < rounds; ++round) {
    std::int32_t w = 1;
    asm volatile("" : "+r"(w));  // no constant, so that it is multiplied
    sum += std::int64_t{w} * w;
  }
  return 2.0 * static_cast<double>(rounds);
}

#else

using Int = hn::CappedTag<std::int32_t, 16>;
using VInt = hn::Vec<Int>;
using VBytes = hn::Vec<hn::Repartition<std::uint8_t, Int>>;
using VSigned = hn::Vec<hn::Repartition<std::int8_t, Int>>;

/// As many as bytes of 4 bits without VNNI are multiplied for each sum of 32 bits.
constexpr std::size_t kProducts = 8;

/// sum + for each lane 4 * kProducts products. x has signed bytes, w unsigned ones; without VNNI below 16.
template <bool kVnni>
HWY_INLINE VInt add_products(VInt sum, VBytes& w, VSigned x) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  if constexpr (kVnni) {
    for (std::size_t i = 0; i < kProducts; ++i) {
      asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(w.raw), "v"(x.raw));
    }
    return sum;
  }
#endif
#if HWY_ARCH_X86
  const hn::Repartition<std::int16_t, Int> d16;
  auto pairs = hn::Zero(d16);
  for (std::size_t i = 0; i < kProducts; ++i) {
    asm("" : "+x"(w.raw));  // another value for all the compiler knows, so that it multiplies again
#if HWY_TARGET <= HWY_AVX3
    pairs = hn::Add(pairs, hn::Vec<decltype(d16)>{_mm512_maddubs_epi16(w.raw, x.raw)});
#elif HWY_TARGET == HWY_AVX2
    pairs = hn::Add(pairs, hn::Vec<decltype(d16)>{_mm256_maddubs_epi16(w.raw, x.raw)});
#else
    pairs = hn::Add(pairs, hn::Vec<decltype(d16)>{_mm_maddubs_epi16(w.raw, x.raw)});
#endif
  }
  const auto ones = hn::Set(d16, 1);
#if HWY_TARGET <= HWY_AVX3
  return hn::Add(sum, VInt{_mm512_madd_epi16(pairs.raw, ones.raw)});
#elif HWY_TARGET == HWY_AVX2
  return hn::Add(sum, VInt{_mm256_madd_epi16(pairs.raw, ones.raw)});
#else
  return hn::Add(sum, VInt{_mm_madd_epi16(pairs.raw, ones.raw)});
#endif
#elif HWY_ARCH_ARM_A64
  for (std::size_t i = 0; i < kProducts; ++i) {
    asm("" : "+w"(w.raw));
    const int8x16_t left = vreinterpretq_s8_u8(w.raw);
    const int16x8_t low = vmull_s8(vget_low_s8(left), vget_low_s8(x.raw));
    const int16x8_t high = vmull_high_s8(left, x.raw);
    sum = VInt{vaddq_s32(sum.raw, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)))};
  }
  return sum;
#else
#error "A vector unit without a product of bytes: add it to add_products()."
#endif
}

template <bool kVnni>
double multiply_bytes_with(std::uint64_t rounds, std::int64_t& sum) {
  const Int d;
  VInt sums[kChains];
  for (VInt& chain : sums) chain = hn::Zero(d);
  VBytes w = hn::Set(hn::Repartition<std::uint8_t, Int>(), 1);
  const VSigned x = hn::Set(hn::Repartition<std::int8_t, Int>(), 1);
  for (std::uint64_t round = 0; round < rounds / kProducts; ++round) {
    for (VInt& chain : sums) chain = add_products<kVnni>(chain, w, x);
  }
  for (const VInt chain : sums) sum += hn::GetLane(hn::SumOfLanes(d, chain));
  return 2.0 * static_cast<double>(rounds / kProducts * kProducts * kChains * hn::Lanes(d) * 4);
}

double multiply_bytes(std::uint64_t rounds, std::int64_t& sum) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  if (__builtin_cpu_supports("avx512vnni")) return multiply_bytes_with<true>(rounds, sum);
#endif
  return multiply_bytes_with<false>(rounds, sum);
}

#endif

std::uint64_t read_through(std::span<const std::byte> bytes) {
  const hn::CappedTag<std::uint64_t, 8> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto* words = reinterpret_cast<const std::uint64_t*>(bytes.data());
  const std::size_t n = bytes.size() / sizeof(*words);
  auto a = hn::Zero(d);
  auto b = hn::Zero(d);
  for (std::size_t i = 0; i + 2 * lanes <= n; i += 2 * lanes) {
    a = hn::Xor(a, hn::LoadU(d, words + i));
    b = hn::Xor(b, hn::LoadU(d, words + i + lanes));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Xor(a, b)));
}

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace driftwood::bench {

HWY_EXPORT(multiply_and_add);
HWY_EXPORT(multiply_bytes);
HWY_EXPORT(read_through);

double multiply_and_add(std::uint64_t rounds, float& keep) {
  return HWY_DYNAMIC_DISPATCH(multiply_and_add)(rounds, keep);
}
double multiply_bytes(std::uint64_t rounds, std::int64_t& sum) {
  return HWY_DYNAMIC_DISPATCH(multiply_bytes)(rounds, sum);
}
std::uint64_t read_through(std::span<const std::byte> bytes) { return HWY_DYNAMIC_DISPATCH(read_through)(bytes); }

}  // namespace driftwood::bench
#endif  // HWY_ONCE
