// Products of bytes, by the instructions that the target the including file is compiled for has for them.
//
// Included by Highway's foreach_target sources only, once for each target.
#if defined(DRIFTWOOD_DEVICE_CPU_BYTE_PRODUCTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef DRIFTWOOD_DEVICE_CPU_BYTE_PRODUCTS_INL
#undef DRIFTWOOD_DEVICE_CPU_BYTE_PRODUCTS_INL
#else
#define DRIFTWOOD_DEVICE_CPU_BYTE_PRODUCTS_INL
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "device/cpu/packed_matrix.hpp"

// Targets that have no product of bytes take a plain loop.
#define DRIFTWOOD_MULTIPLIES_BYTES (HWY_TARGET != HWY_SCALAR && (!HWY_ARCH_X86 || HWY_TARGET <= HWY_SSSE3))

// Which instruction multiplies bytes. VNNI is no target of its own in every version of Highway, so
// it is asked for at run time within the AVX-512 targets.
#define DRIFTWOOD_MAY_HAVE_VNNI (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3)

HWY_BEFORE_NAMESPACE();
namespace driftwood::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A lane is a row of a tile, so at most 16 of them.
using Int = hn::CappedTag<std::int32_t, kTileRows>;
using VInt = hn::Vec<Int>;

#if DRIFTWOOD_MULTIPLIES_BYTES
using Bytes = hn::Repartition<std::uint8_t, Int>;
using SignedBytes = hn::Repartition<std::int8_t, Int>;
using VBytes = hn::Vec<Bytes>;
using VSignedBytes = hn::Vec<SignedBytes>;

#if HWY_ARCH_X86
using Pairs = hn::Repartition<std::int16_t, Int>;
using VPairs = hn::Vec<Pairs>;

/// Products of unsigned with signed bytes, added up in pairs.
HWY_INLINE VPairs multiply_pairs(VBytes w, VSignedBytes x) {
#if HWY_TARGET <= HWY_AVX3
  return VPairs{_mm512_maddubs_epi16(w.raw, x.raw)};
#elif HWY_TARGET == HWY_AVX2
  return VPairs{_mm256_maddubs_epi16(w.raw, x.raw)};
#else
  return VPairs{_mm_maddubs_epi16(w.raw, x.raw)};
#endif
}

HWY_INLINE VInt sum_of_pairs(VPairs pairs) {
  const VPairs ones = hn::Set(Pairs(), 1);
#if HWY_TARGET <= HWY_AVX3
  return VInt{_mm512_madd_epi16(pairs.raw, ones.raw)};
#elif HWY_TARGET == HWY_AVX2
  return VInt{_mm256_madd_epi16(pairs.raw, ones.raw)};
#else
  return VInt{_mm_madd_epi16(pairs.raw, ones.raw)};
#endif
}
#elif HWY_ARCH_ARM_A64
/// sum + for each lane the products of its four signed bytes.
HWY_INLINE VInt add_quads(VInt sum, VSignedBytes w, VSignedBytes x) {
  const int16x8_t low = vmull_s8(vget_low_s8(w.raw), vget_low_s8(x.raw));
  const int16x8_t high = vmull_high_s8(w.raw, x.raw);
  return VInt{vaddq_s32(sum.raw, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)))};
}
#else
#error "A vector unit without a product of bytes."
#endif
#endif  // DRIFTWOOD_MULTIPLIES_BYTES

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::cpu
HWY_AFTER_NAMESPACE();

#endif
