// Products of f32 matrices for tiles of queries, and KV rows rearranged for them.
//
// Included by Highway's foreach_target sources only, once for each target.
#if defined(DRIFTWOOD_DEVICE_CPU_ATTENTION_PRODUCTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef DRIFTWOOD_DEVICE_CPU_ATTENTION_PRODUCTS_INL
#undef DRIFTWOOD_DEVICE_CPU_ATTENTION_PRODUCTS_INL
#else
#define DRIFTWOOD_DEVICE_CPU_ATTENTION_PRODUCTS_INL
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "device/cpu/attention_kernels.hpp"
#include "device/cpu/attention_rows-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace driftwood::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::uint32_t kKeyGroup = 32;  // tokens up to whose multiple keys are transposed
constexpr std::uint32_t kRowBlock = 6;   // query rows that share loads of a chunk

/// into[i][t] = from[t][i] for 4 rows of 4 floats.
HWY_INLINE void transpose_4x4(const float* from, std::size_t from_stride, float* into, std::size_t into_stride) {
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t t = 0; t < 4; ++t) into[i * into_stride + t] = from[t * from_stride + i];
  }
#else
  const hn::Full128<float> d;
  hn::Vec<decltype(d)> rows[4];
  HWY_UNROLL(4)
  for (std::size_t i = 0; i < 4; ++i) rows[i] = hn::LoadU(d, from + i * from_stride);
  transpose_quads(d, rows);
  HWY_UNROLL(4)
  for (std::size_t i = 0; i < 4; ++i) hn::StoreU(rows[i], d, into + i * into_stride);
#endif
}

/// The chunk's keys of one head as [head_dim][kChunk], in f32; columns from rows.n to the next multiple of kKeyGroup
/// are zero. Those of `next` (optional) are asked for.
template <typename Row>
HWY_INLINE void transpose_keys(const ChunkRows& rows, const ChunkRows* next, std::size_t head_offset,
                               std::uint32_t head_dim, float* keys) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  const std::uint32_t n_next = next == nullptr ? 0 : next->n;
  alignas(64) float lines[4 * kMaxHeadDim];
  for (std::uint32_t begin = 0; begin < (rows.n + kKeyGroup - 1) / kKeyGroup * kKeyGroup; begin += 4) {
    for (std::uint32_t t = begin; t < begin + 4; ++t) {
      float* line = lines + std::size_t{t - begin} * head_dim;
      if (t < n_next) prefetch<CacheLevel::second>(next->keys[t] + head_offset, Row::bytes(head_dim));
      if (t < rows.n) {
        const Row row{rows.keys[t] + head_offset};
        for (std::size_t i = 0; i < head_dim; i += lanes) hn::StoreU(row.load(i), d, line + i);
      } else {
        for (std::size_t i = 0; i < head_dim; i += lanes) hn::StoreU(hn::Zero(d), d, line + i);
      }
    }
    for (std::size_t i = 0; i < head_dim; i += 4) transpose_4x4(lines + i, head_dim, keys + i * kChunk + begin, kChunk);
  }
}

/// The chunk's values of one head as [rows.n][head_dim], in f32. Those of `next` (optional) are asked for.
template <typename Row>
HWY_INLINE void unpack_values(const ChunkRows& rows, const ChunkRows* next, std::size_t offset, std::uint32_t head_dim,
                              float* values) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  const std::uint32_t n_next = next == nullptr ? 0 : next->n;
  for (std::uint32_t t = 0; t < rows.n; ++t) {
    if (t < n_next) prefetch<CacheLevel::second>(next->keys[t] + offset, Row::bytes(head_dim));
    const Row row{rows.keys[t] + offset};
    for (std::size_t i = 0; i < head_dim; i += lanes) {
      hn::StoreU(row.load(i), d, values + std::size_t{t} * head_dim + i);
    }
  }
}

/// The factors of a product of matrices of f32, whose rows lie `stride` floats apart.
struct Factors {
  const float* a;  ///< [rows][depth]
  std::size_t a_stride;
  const float* b;  ///< [depth][columns]
  std::size_t b_stride;
  std::uint32_t depth;
};

/// sums[r][i] = sum over every kParts-th k < depth, from `part` on, of a[r][k] * vector i of b[k].
template <std::uint32_t kParts, std::uint32_t kRows, std::uint32_t kVectors>
HWY_INLINE void sum_part(const Factors& f, std::uint32_t part, Vec (&sums)[kRows][kVectors]) {
  const Float d;
  for (std::uint32_t r = 0; r < kRows; ++r) {
    for (std::uint32_t i = 0; i < kVectors; ++i) sums[r][i] = hn::Zero(d);
  }
  for (std::uint32_t k = part; k < f.depth; k += kParts) {
    Vec right[kVectors];
    for (std::uint32_t i = 0; i < kVectors; ++i) right[i] = hn::LoadU(d, f.b + k * f.b_stride + i * kLanes);
    for (std::uint32_t r = 0; r < kRows; ++r) {
      const Vec left = hn::Set(d, f.a[r * f.a_stride + k]);
      for (std::uint32_t i = 0; i < kVectors; ++i) sums[r][i] = hn::MulAdd(left, right[i], sums[r][i]);
    }
  }
}

/// c[r][0 .. kVectors * lanes) = sum over k < depth of a[r][k] * b[k][...], for kRows rows: in one sum, or in those of
/// a score (see kSums).
template <std::uint32_t kParts, std::uint32_t kRows, std::uint32_t kVectors>
HWY_INLINE void multiply_block(const Factors& f, float* c, std::size_t c_stride) {
  static_assert(kParts == 1 || kParts == kSums);
  const Float d;
  Vec sums[kRows][kVectors];
  if constexpr (kParts == 1) {
    sum_part<kParts>(f, 0, sums);
    for (std::uint32_t r = 0; r < kRows; ++r) {
      for (std::uint32_t i = 0; i < kVectors; ++i) hn::StoreU(sums[r][i], d, c + r * c_stride + i * kLanes);
    }
  } else {
    // While one is summed up, the others are in the first cache level, where they were just written.
    alignas(64) float first[kRows][kVectors * kLanes];
    for (std::uint32_t part = 0; part < kHalfSums; ++part) {
      sum_part<kParts>(f, part, sums);
      for (std::uint32_t r = 0; r < kRows; ++r) {
        for (std::uint32_t i = 0; i < kVectors; ++i) hn::Store(sums[r][i], d, first[r] + i * kLanes);
      }
      sum_part<kParts>(f, part + kHalfSums, sums);
      for (std::uint32_t r = 0; r < kRows; ++r) {
        for (std::uint32_t i = 0; i < kVectors; ++i) {
          float* into = c + r * c_stride + i * kLanes;
          const Vec both = hn::Add(hn::Load(d, first[r] + i * kLanes), sums[r][i]);
          hn::StoreU(part == 0 ? both : hn::Add(hn::LoadU(d, into), both), d, into);
        }
      }
    }
  }
}

template <std::uint32_t kParts, std::uint32_t kVectors>
HWY_INLINE void multiply_columns(Factors f, std::uint32_t rows, float* c, std::size_t c_stride) {
  const auto block = [&]<std::uint32_t kRows>() {
    multiply_block<kParts, kRows, kVectors>(f, c, c_stride);
    f.a += kRows * f.a_stride;
    c += kRows * c_stride;
  };
  std::uint32_t left = rows;
  for (; left >= kRowBlock; left -= kRowBlock) block.template operator()<kRowBlock>();
  switch (left) {
    case 0: break;
    case 1: block.template operator()<1>(); break;
    case 2: block.template operator()<2>(); break;
    case 3: block.template operator()<3>(); break;
    case 4: block.template operator()<4>(); break;
    default: block.template operator()<5>(); break;
  }
}

/// c [rows][columns] = a * b, its rows `c_stride` apart; columns are a multiple of 32. Sums run along the depth, as
/// multiply_block() says.
template <std::uint32_t kParts>
HWY_INLINE void multiply(Factors f, std::uint32_t rows, std::uint32_t columns, float* c, std::size_t c_stride) {
  // As many accumulators as the register file holds.
  constexpr std::uint32_t kVectors = kManyRegisters ? 4 : 2;
  const float* b = f.b;
  std::size_t column = 0;
  for (; column + kVectors * kLanes <= columns; column += kVectors * kLanes) {
    f.b = b + column;
    multiply_columns<kParts, kVectors>(f, rows, c + column, c_stride);
  }
  for (; column < columns; column += 2 * kLanes) {
    f.b = b + column;
    multiply_columns<kParts, 2>(f, rows, c + column, c_stride);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::cpu
HWY_AFTER_NAMESPACE();

#endif
