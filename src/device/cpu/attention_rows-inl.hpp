// Elements of KV rows as vectors of f32, for the target that the including file is compiled for.
//
// Included by Highway's foreach_target sources only, once for each target.
#if defined(DRIFTWOOD_DEVICE_CPU_ATTENTION_ROWS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef DRIFTWOOD_DEVICE_CPU_ATTENTION_ROWS_INL
#undef DRIFTWOOD_DEVICE_CPU_ATTENTION_ROWS_INL
#else
#define DRIFTWOOD_DEVICE_CPU_ATTENTION_ROWS_INL
#endif

#include <ggml.h>
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace driftwood::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes, so that a head of 32 dimensions is a whole number of vector pairs.
using Float = hn::CappedTag<float, 16>;
using Vec = hn::Vec<Float>;

constexpr std::size_t kQ8Block = 32;
constexpr std::size_t kQ8Bytes = kQ8Block + sizeof(hwy::float16_t);
constexpr std::size_t kLanes = hn::MaxLanes(Float());
constexpr std::size_t kQuad = 4;                     // dimensions
constexpr std::size_t kQuadTokens = kLanes / kQuad;  // whose quads fill a vector; none without vectors

constexpr bool kManyRegisters = (HWY_TARGET <= HWY_AVX3) || HWY_ARCH_ARM;  // 32 of vectors, else 16

constexpr std::size_t kCacheLine = 64;

/// Asks for what a later chunk reads. Not for the first cache level: records whose distance is a multiple of a large
/// power of two fall into few of its sets, and drive each other out before they are read.
HWY_INLINE void prefetch(const std::byte* from, std::size_t bytes) {
  std::size_t i = 0;
  do {
    __builtin_prefetch(from + i, 0, 2);
    i += kCacheLine;
  } while (i < bytes);
}

#if HWY_TARGET != HWY_SCALAR
/// The first one or two units of 64 bits of kQuadTokens rows, which are every kQuad-th of `rows`: out[s] has unit s of
/// each.
template <typename D64>
HWY_INLINE void load_units(D64 d, const std::byte* const* rows, std::size_t offset, hn::Vec<D64>* out) {
  const hn::CappedTag<hn::TFromD<D64>, 2> pair;
  const hn::Repartition<std::uint8_t, decltype(pair)> bytes;
  const auto load = [&](std::size_t row) HWY_ATTR {
    const std::byte* from = rows[row * kQuad] + offset;
    return hn::BitCast(pair, hn::LoadU(bytes, reinterpret_cast<const std::uint8_t*>(from)));
  };
  if constexpr (kQuadTokens == 4) {
    // Rows come side by side, so that units change places within 128 bits only.
    const auto even = hn::Combine(d, load(2), load(0));
    const auto odd = hn::Combine(d, load(3), load(1));
    out[0] = hn::InterleaveLower(d, even, odd);
    out[1] = hn::InterleaveUpper(d, even, odd);
  } else if constexpr (kQuadTokens == 2) {
    const auto even = load(0);
    const auto odd = load(1);
    out[0] = hn::InterleaveLower(d, even, odd);
    out[1] = hn::InterleaveUpper(d, even, odd);
  } else {
    const hn::Repartition<std::uint8_t, D64> d8;
    out[0] = hn::BitCast(d, hn::LoadU(d8, reinterpret_cast<const std::uint8_t*>(rows[0] + offset)));
  }
}
#endif

/// Rows of f16.
struct HalfRow {
  const std::byte* data;

  static constexpr std::size_t bytes(std::size_t elements) { return elements * sizeof(hwy::float16_t); }

  /// `lanes` elements.
  HWY_INLINE Vec load(std::size_t element) const {
    const Float d;
    const hn::Rebind<hwy::float16_t, Float> dh;
    return hn::PromoteTo(d, hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(data) + element));
  }

#if HWY_TARGET != HWY_SCALAR
  static constexpr std::size_t kUnits = HWY_MIN(kQuadTokens, 2);  // that load_quads() loads
  static constexpr bool kUnitsTogether = false;                   // one alone is loaded for less than all

  /// kUnits * kQuad elements of kQuadTokens rows, `offset` bytes behind every kQuad-th of `data`: out[s] has elements
  /// 4s to 4s + 3 of each row.
  static HWY_INLINE void load_quads(const std::byte* const* data, std::size_t offset, std::size_t element, Vec* out) {
    const Float d;
    const hn::Rebind<hwy::float16_t, Float> dh;
    const hn::Repartition<std::uint64_t, decltype(dh)> d64;
    hn::Vec<decltype(d64)> units[kUnits];
    load_units(d64, data, offset + bytes(element), units);
    HWY_UNROLL(4)
    for (std::size_t s = 0; s < kUnits; ++s) out[s] = hn::PromoteTo(d, hn::BitCast(dh, units[s]));
  }
#endif
};

/// Rows in blocks of 32 elements: an f16 scale, then 32 signed bytes (ggml's q8_0).
struct Q8Row {
  const std::byte* data;

  static constexpr std::size_t bytes(std::size_t elements) { return elements / kQ8Block * kQ8Bytes; }

  HWY_INLINE Vec load(std::size_t element) const {
    const Float d;
    const hn::Rebind<std::int8_t, Float> d8;
    const hn::Rebind<std::int32_t, Float> d32;
    const std::byte* block = data + element / kQ8Block * kQ8Bytes;
    const auto bytes = hn::LoadU(d8, reinterpret_cast<const std::int8_t*>(block) + kScaleBytes + element % kQ8Block);
    return hn::Mul(hn::ConvertTo(d, hn::PromoteTo(d32, bytes)), hn::Set(d, scale_of(block)));
  }

#if HWY_TARGET != HWY_SCALAR
  static constexpr std::size_t kUnits = kQuadTokens;
  static constexpr bool kUnitsTogether = true;

  static HWY_INLINE void load_quads(const std::byte* const* data, std::size_t offset, std::size_t element, Vec* out) {
    const Float d;
    const hn::CappedTag<float, kLanes / kQuadTokens> d_quad;
    alignas(64) float lines[kQuadTokens][kLanes];
    for (std::size_t i = 0; i < kQuadTokens; ++i) hn::Store(Q8Row{data[i * kQuad] + offset}.load(element), d, lines[i]);
    alignas(64) float quads[kLanes];
    for (std::size_t s = 0; s < kQuadTokens; ++s) {
      for (std::size_t i = 0; i < kQuadTokens; ++i) {
        hn::Store(hn::Load(d_quad, lines[i] + s * kQuad), d_quad, quads + i * kQuad);
      }
      out[s] = hn::Load(d, quads);
    }
  }
#endif

 private:
  static constexpr std::size_t kScaleBytes = sizeof(ggml_fp16_t);

  static HWY_INLINE float scale_of(const std::byte* block) {
    ggml_fp16_t scale;
    std::memcpy(&scale, block, sizeof(scale));
    return ggml_fp16_to_fp32(scale);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::cpu
HWY_AFTER_NAMESPACE();

#endif
