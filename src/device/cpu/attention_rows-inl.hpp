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
constexpr bool kManyRegisters = (HWY_TARGET <= HWY_AVX3) || HWY_ARCH_ARM;  // 32 of vectors, else 16

#if HWY_TARGET != HWY_SCALAR
/// Within each 128 bits: v[i] gets what was the i-th of all four.
template <typename D, typename V = hn::Vec<D>>
HWY_INLINE void transpose_quads(D d, V (&v)[4]) {
  const hn::Repartition<double, D> pairs;
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, v[0], v[1]));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, v[0], v[1]));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, v[2], v[3]));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, v[2], v[3]));
  v[0] = hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23));
  v[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23));
  v[2] = hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23));
  v[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23));
}
#endif

constexpr std::size_t kCacheLine = 64;

enum class CacheLevel { first = 3, second = 2 };  // as __builtin_prefetch counts them

/// Asks for what is read soon, or, in the second level, for what a later chunk reads: the first has no room for it.
/// Rows that are asked for at once must not fall into the same few sets: hence records of an odd number of cache lines.
template <CacheLevel kLevel>
HWY_INLINE void prefetch(const std::byte* from, std::size_t bytes) {
  std::size_t i = 0;
  do {
    __builtin_prefetch(from + i, 0, static_cast<int>(kLevel));
    i += kCacheLine;
  } while (i < bytes);
}

/// Rows of f16.
struct HalfRow {
  const std::byte* data;

  static constexpr std::size_t bytes(std::size_t elements) { return elements * sizeof(hwy::float16_t); }

  /// As many elements as `d` has lanes.
  template <typename D = Float>
  HWY_INLINE hn::Vec<D> load(std::size_t element, D d = {}) const {
    const hn::Rebind<hwy::float16_t, D> dh;
    return hn::PromoteTo(d, hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(data) + element));
  }
};

/// Rows in blocks of 32 elements: an f16 scale, then 32 signed bytes (ggml's q8_0).
struct Q8Row {
  const std::byte* data;

  static constexpr std::size_t bytes(std::size_t elements) { return elements / kQ8Block * kQ8Bytes; }

  template <typename D = Float>
  HWY_INLINE hn::Vec<D> load(std::size_t element, D d = {}) const {
    const hn::Rebind<std::int8_t, D> d8;
    const hn::Rebind<std::int32_t, D> d32;
    const std::byte* block = data + element / kQ8Block * kQ8Bytes;
    const auto bytes = hn::LoadU(d8, reinterpret_cast<const std::int8_t*>(block) + kScaleBytes + element % kQ8Block);
    return hn::Mul(hn::ConvertTo(d, hn::PromoteTo(d32, bytes)), hn::Set(d, scale_of(block)));
  }

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
