#include "bench/limits_kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/limits_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles the rest of this file once for each target
#include <hwy/highway.h>

#include "device/cpu/byte_products-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace driftwood::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace kernels = cpu::HWY_NAMESPACE;

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

#if !DRIFTWOOD_MULTIPLIES_BYTES

double multiply_bytes(std::uint64_t rounds, std::int64_t& sum) {
  for (std::uint64_t round = 0; round < rounds; ++round) {
    std::int32_t w = 1;
    asm volatile("" : "+r"(w));  // no constant, so that it is multiplied
    sum += std::int64_t{w} * w;
  }
  return 2.0 * static_cast<double>(rounds);
}

#else

using kernels::Int;
using kernels::VBytes;
using kernels::VInt;
using kernels::VSignedBytes;

/// As many as bytes of 4 bits without VNNI are multiplied for each sum of 32 bits.
constexpr std::size_t kProducts = 8;

/// sum + for each lane 4 * kProducts products. x has signed bytes, w unsigned ones; without VNNI below 16.
template <bool kVnni>
HWY_INLINE VInt add_products(VInt sum, VBytes& w, VSignedBytes x) {
#if DRIFTWOOD_MAY_HAVE_VNNI
  if constexpr (kVnni) {
    for (std::size_t i = 0; i < kProducts; ++i) {
      asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(w.raw), "v"(x.raw));
    }
    return sum;
  }
#endif
  // w is another value each time for all the compiler knows, so that it multiplies again.
#if HWY_ARCH_X86
  auto pairs = hn::Zero(kernels::Pairs());
  for (std::size_t i = 0; i < kProducts; ++i) {
    asm("" : "+x"(w.raw));
    pairs = hn::Add(pairs, kernels::multiply_pairs(w, x));
  }
  return hn::Add(sum, kernels::sum_of_pairs(pairs));
#else
  for (std::size_t i = 0; i < kProducts; ++i) {
    asm("" : "+w"(w.raw));
    sum = kernels::add_quads(sum, hn::BitCast(kernels::SignedBytes(), w), x);
  }
  return sum;
#endif
}

template <bool kVnni>
double multiply_bytes_with(std::uint64_t rounds, std::int64_t& sum) {
  const Int d;
  VInt sums[kChains];
  for (VInt& chain : sums) chain = hn::Zero(d);
  VBytes w = hn::Set(kernels::Bytes(), 1);
  const VSignedBytes x = hn::Set(kernels::SignedBytes(), 1);
  for (std::uint64_t round = 0; round < rounds / kProducts; ++round) {
    for (VInt& chain : sums) chain = add_products<kVnni>(chain, w, x);
  }
  for (const VInt chain : sums) sum += hn::GetLane(hn::SumOfLanes(d, chain));
  return 2.0 * static_cast<double>(rounds / kProducts * kProducts * kChains * hn::Lanes(d) * 4);
}

double multiply_bytes(std::uint64_t rounds, std::int64_t& sum) {
#if DRIFTWOOD_MAY_HAVE_VNNI
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
