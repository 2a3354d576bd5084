#include "device/cpu/attention_kernels.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "device/cpu/attention_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles the rest of this file once for each target
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace driftwood::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes, so that a head of 32 dimensions is a whole number of vector pairs.
using Float = hn::CappedTag<float, 16>;
using Vec = hn::Vec<Float>;

constexpr std::size_t kQ8Block = 32;
constexpr std::size_t kQ8Bytes = kQ8Block + sizeof(hwy::float16_t);
constexpr std::uint32_t kRowBlock = 6;     // query rows that share loads of a chunk
constexpr std::uint32_t kKeyGroup = 32;    // tokens up to whose multiple keys are transposed
constexpr std::uint32_t kMostDirect = 8;   // query rows for which values are read where they lie
constexpr std::uint32_t kDirectBlock = 4;  // of them, rows that share loads of a value
constexpr std::size_t kCacheLine = 64;

/// `lanes` elements of an f16 row.
struct HalfRow {
  const std::byte* data;

  static constexpr std::size_t bytes(std::size_t elements) { return elements * sizeof(hwy::float16_t); }

  HWY_INLINE Vec load(std::size_t element) const {
    const Float d;
    const hn::Rebind<hwy::float16_t, Float> dh;
    return hn::PromoteTo(d, hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(data) + element));
  }
};

/// Elements of a row in blocks of 32: an f16 scale, then 32 signed bytes (ggml's q8_0).
struct Q8Row {
  const std::byte* data;

  static constexpr std::size_t bytes(std::size_t elements) { return elements / kQ8Block * kQ8Bytes; }

  HWY_INLINE Vec load(std::size_t element) const {
    const Float d;
    const hn::Rebind<std::int8_t, Float> d8;
    const hn::Rebind<std::int32_t, Float> d32;
    const std::byte* block = data + element / kQ8Block * kQ8Bytes;
    ggml_fp16_t scale;
    std::memcpy(&scale, block, sizeof(scale));
    const auto bytes = hn::LoadU(d8, reinterpret_cast<const std::int8_t*>(block) + sizeof(scale) + element % kQ8Block);
    return hn::Mul(hn::ConvertTo(d, hn::PromoteTo(d32, bytes)), hn::Set(d, ggml_fp16_to_fp32(scale)));
  }
};

HWY_INLINE float max_of(const float* x, std::uint32_t n) {
  float largest = -std::numeric_limits<float>::infinity();
  for (std::uint32_t i = 0; i < n; ++i) largest = HWY_MAX(largest, x[i]);
  return largest;
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
  const Vec lowest = hn::Set(d, -80.0F);  // below this a weight is lost beside 1 anyway
  Vec sum = hn::Zero(d);
  for (std::uint32_t i = 0; i < kChunk; i += lanes) {
    const Vec shifted = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, maximum));
    const Vec weight = hn::IfThenElseZero(hn::Gt(shifted, lowest), hn::Exp(d, hn::Max(shifted, lowest)));
    hn::StoreU(weight, d, x + i);
    sum = hn::Add(sum, weight);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

/// Asks for what a later chunk reads. Not for the first cache level: records whose distance is a multiple of a large
/// power of two fall into few of its sets, and drive each other out before they are read.
HWY_INLINE void prefetch(const std::byte* from, std::size_t bytes) {
  std::size_t i = 0;
  do {
    __builtin_prefetch(from + i, 0, 2);
    i += kCacheLine;
  } while (i < bytes);
}

/// into[i][t] = from[t][i] for 4 rows of 4 floats.
HWY_INLINE void transpose_4x4(const float* from, std::size_t from_stride, float* into, std::size_t into_stride) {
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t t = 0; t < 4; ++t) into[i * into_stride + t] = from[t * from_stride + i];
  }
#else
  const hn::Full128<float> d;
  const hn::Full128<double> pairs;
  const auto r0 = hn::LoadU(d, from);
  const auto r1 = hn::LoadU(d, from + from_stride);
  const auto r2 = hn::LoadU(d, from + 2 * from_stride);
  const auto r3 = hn::LoadU(d, from + 3 * from_stride);
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, r0, r1));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, r0, r1));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, r2, r3));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, r2, r3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, into);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, into + into_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, into + 2 * into_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, into + 3 * into_stride);
#endif
}

/// The chunk's keys of one head as [head_dim][kChunk], in f32; columns from rows.n to the next multiple of kKeyGroup
/// are zero.
template <typename Row>
HWY_INLINE void transpose_keys(const ChunkRows& rows, const ChunkRows* next, std::size_t head_offset,
                               std::uint32_t head_dim, float* keys) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  const std::uint32_t n_next = next == nullptr ? 0 : next->n;
  alignas(64) float lines[4 * kMaxHeadDim];
  for (std::uint32_t begin = 0; begin < (rows.n + kKeyGroup - 1) / kKeyGroup * kKeyGroup; begin += 4) {
    for (std::uint32_t t = begin; t < begin + 4; ++t) {
      if (t < n_next) prefetch(next->keys[t] + head_offset, Row::bytes(head_dim));
      float* line = lines + std::size_t{t - begin} * head_dim;
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

/// The chunk's values of one head as [rows.n][head_dim], in f32.
template <typename Row>
HWY_INLINE void unpack_values(const ChunkRows& rows, std::size_t offset, std::uint32_t head_dim, float* values) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::uint32_t t = 0; t < rows.n; ++t) {
    const Row row{rows.keys[t] + offset};
    for (std::size_t i = 0; i < head_dim; i += lanes) {
      hn::StoreU(row.load(i), d, values + std::size_t{t} * head_dim + i);
    }
  }
}

/// values[r] = sum over t of weights[r][t] * v[t], for kRows rows, kVectors vectors of dimensions.
template <std::uint32_t kRows, std::uint32_t kVectors, typename Row>
HWY_INLINE void weigh_block(const ChunkRows& rows, const ChunkRows* next, std::size_t offset, std::size_t dimension,
                            const float* weights, std::uint32_t head_dim, float* values) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t part_offset = offset + Row::bytes(dimension);
  const std::size_t part_bytes = Row::bytes(kVectors * lanes);
  const std::uint32_t n_next = next == nullptr ? 0 : next->n;
  Vec sums[kRows][kVectors];
  for (std::uint32_t r = 0; r < kRows; ++r) {
    for (std::uint32_t i = 0; i < kVectors; ++i) sums[r][i] = hn::Zero(d);
  }
  for (std::uint32_t t = 0; t < rows.n; ++t) {
    const Row row{rows.keys[t] + offset};
    if (t < n_next) prefetch(next->keys[t] + part_offset, part_bytes);
    Vec v[kVectors];
    for (std::uint32_t i = 0; i < kVectors; ++i) v[i] = row.load(dimension + i * lanes);
    for (std::uint32_t r = 0; r < kRows; ++r) {
      const Vec weight = hn::Set(d, weights[r * kChunk + t]);
      for (std::uint32_t i = 0; i < kVectors; ++i) sums[r][i] = hn::MulAdd(weight, v[i], sums[r][i]);
    }
  }
  for (std::uint32_t r = 0; r < kRows; ++r) {
    for (std::uint32_t i = 0; i < kVectors; ++i) {
      hn::StoreU(sums[r][i], d, values + r * head_dim + dimension + i * lanes);
    }
  }
}

/// The same for all dimensions, straight from the chunk: for rows too few to unpack the values first.
template <std::uint32_t kRows, typename Row>
HWY_INLINE void weigh_rows(const ChunkRows& rows, const ChunkRows* next, std::size_t offset, const float* weights,
                           std::uint32_t head_dim, float* values) {
  const std::size_t lanes = hn::Lanes(Float());
  std::size_t dimension = 0;
  for (; dimension + 4 * lanes <= head_dim; dimension += 4 * lanes) {
    weigh_block<kRows, 4, Row>(rows, next, offset, dimension, weights, head_dim, values);
  }
  for (; dimension < head_dim; dimension += 2 * lanes) {
    weigh_block<kRows, 2, Row>(rows, next, offset, dimension, weights, head_dim, values);
  }
}

/// c[r][0 .. kVectors * lanes) = sum over i < depth of a[r][i] * b[i][...], for kRows rows.
template <std::uint32_t kRows, std::uint32_t kVectors>
HWY_INLINE void multiply_block(const float* a, std::size_t a_stride, const float* b, std::size_t b_stride,
                               std::uint32_t depth, float* c, std::size_t c_stride) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  Vec sums[kRows][kVectors];
  for (std::uint32_t r = 0; r < kRows; ++r) {
    for (std::uint32_t i = 0; i < kVectors; ++i) sums[r][i] = hn::Zero(d);
  }
  for (std::uint32_t k = 0; k < depth; ++k) {
    Vec right[kVectors];
    for (std::uint32_t i = 0; i < kVectors; ++i) right[i] = hn::LoadU(d, b + k * b_stride + i * lanes);
    for (std::uint32_t r = 0; r < kRows; ++r) {
      const Vec left = hn::Set(d, a[r * a_stride + k]);
      for (std::uint32_t i = 0; i < kVectors; ++i) sums[r][i] = hn::MulAdd(left, right[i], sums[r][i]);
    }
  }
  for (std::uint32_t r = 0; r < kRows; ++r) {
    for (std::uint32_t i = 0; i < kVectors; ++i) hn::StoreU(sums[r][i], d, c + r * c_stride + i * lanes);
  }
}

template <std::uint32_t kVectors>
HWY_INLINE void multiply_columns(const float* a, std::size_t a_stride, const float* b, std::size_t b_stride,
                                 std::uint32_t rows, std::uint32_t depth, float* c, std::size_t c_stride) {
  std::uint32_t r = 0;
  for (; r + kRowBlock <= rows; r += kRowBlock) {
    multiply_block<kRowBlock, kVectors>(a + r * a_stride, a_stride, b, b_stride, depth, c + r * c_stride, c_stride);
  }
  const auto rest = [&]<std::uint32_t kRows>() {
    multiply_block<kRows, kVectors>(a + r * a_stride, a_stride, b, b_stride, depth, c + r * c_stride, c_stride);
  };
  switch (rows - r) {
    case 0: break;
    case 1: rest.template operator()<1>(); break;
    case 2: rest.template operator()<2>(); break;
    case 3: rest.template operator()<3>(); break;
    case 4: rest.template operator()<4>(); break;
    default: rest.template operator()<5>(); break;
  }
}

/// c [rows][columns] = a [rows][depth] * b [depth][columns], rows of b and c `stride` apart; columns are a multiple of
/// 32. Sums run along the depth, one term after another.
HWY_INLINE void multiply(const float* a, std::size_t a_stride, const float* b, std::uint32_t rows, std::uint32_t depth,
                         std::uint32_t columns, std::size_t stride, float* c) {
  const Float d;
  // As many accumulators as the register file holds: 32 registers (AVX-512, NEON) or 16.
  constexpr std::uint32_t kVectors = (HWY_TARGET <= HWY_AVX3) || HWY_ARCH_ARM ? 4 : 2;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t column = 0;
  for (; column + kVectors * lanes <= columns; column += kVectors * lanes) {
    multiply_columns<kVectors>(a, a_stride, b + column, stride, rows, depth, c + column, stride);
  }
  for (; column < columns; column += 2 * lanes) {
    multiply_columns<2>(a, a_stride, b + column, stride, rows, depth, c + column, stride);
  }
}

/// into[i] = into[i] * keep + add[i] * weight.
HWY_INLINE void blend(std::uint32_t n, const float* add, float weight, float keep, float* into) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t i = 0; i < n; i += lanes) {
    const Vec kept = hn::Mul(hn::LoadU(d, into + i), hn::Set(d, keep));
    hn::StoreU(hn::MulAdd(hn::LoadU(d, add + i), hn::Set(d, weight), kept), d, into + i);
  }
}

void merge_partials(std::uint32_t n_rows, std::uint32_t head_dim, const Partials& from, const Partials& into) {
  for (std::uint32_t r = 0; r < n_rows; ++r) {
    if (from.sum[r] == 0.0F) continue;
    // One of the two factors is exp(0).
    float weight = 1.0F;
    float keep = into.sum[r] == 0.0F ? 0.0F : 1.0F;
    if (keep == 0.0F || from.maximum[r] > into.maximum[r]) {
      if (keep != 0.0F) keep = std::exp(into.maximum[r] - from.maximum[r]);
      into.maximum[r] = from.maximum[r];
    } else {
      weight = std::exp(from.maximum[r] - into.maximum[r]);
    }
    blend(head_dim, from.values + std::size_t{r} * head_dim, weight, keep, into.values + std::size_t{r} * head_dim);
    into.sum[r] = into.sum[r] * keep + from.sum[r] * weight;
  }
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
    out.maximum[r] = max_of(row + first, last - first);
    out.sum[r] = exponentials(row, out.maximum[r]);
  }
}

template <typename Row>
void attend_chunk_rows(const ChunkRows& rows, const ChunkRows* next, std::uint32_t kv_head, const HeadShape& shape,
                       const QueryRows& queries, float* scratch, const Partials& out) {
  const std::uint32_t head_dim = shape.head_dim;
  float* keys = scratch;
  float* values = keys + std::size_t{head_dim} * kChunk;
  float* scores = values + std::size_t{head_dim} * kChunk;
  const std::size_t key_offset = Row::bytes(std::size_t{kv_head} * head_dim);
  const std::size_t value_offset = rows.row_bytes + key_offset;
  const std::uint32_t columns = (rows.n + kKeyGroup - 1) / kKeyGroup * kKeyGroup;

  // Keys are asked for while keys are read, values while values are: the memory is never idle.
  transpose_keys<Row>(rows, next, key_offset, head_dim, keys);
  multiply(queries.q, head_dim, keys, queries.n, head_dim, columns, kChunk, scores);
  softmax_rows(queries, columns, shape.softcap, scores, out);
  if (queries.n > kMostDirect) {
    unpack_values<Row>(rows, value_offset, head_dim, values);
    multiply(scores, kChunk, values, queries.n, rows.n, head_dim, head_dim, out.values);
    return;
  }
  for (std::uint32_t r = 0; r < queries.n; r += kDirectBlock) {
    const ChunkRows* wanted = r == 0 ? next : nullptr;
    const float* weights = scores + std::size_t{r} * kChunk;
    float* into = out.values + std::size_t{r} * head_dim;
    switch (HWY_MIN(queries.n - r, kDirectBlock)) {
      case 1: weigh_rows<1, Row>(rows, wanted, value_offset, weights, head_dim, into); break;
      case 2: weigh_rows<2, Row>(rows, wanted, value_offset, weights, head_dim, into); break;
      case 3: weigh_rows<3, Row>(rows, wanted, value_offset, weights, head_dim, into); break;
      default: weigh_rows<kDirectBlock, Row>(rows, wanted, value_offset, weights, head_dim, into); break;
    }
  }
}

void attend_chunk(const ChunkRows& rows, const ChunkRows* next, std::uint32_t kv_head, const HeadShape& shape,
                  const QueryRows& queries, float* scratch, const Partials& out) {
  if (rows.type == GGML_TYPE_F16) {
    attend_chunk_rows<HalfRow>(rows, next, kv_head, shape, queries, scratch, out);
  } else {
    attend_chunk_rows<Q8Row>(rows, next, kv_head, shape, queries, scratch, out);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace driftwood::cpu {

HWY_EXPORT(attend_chunk);
HWY_EXPORT(merge_partials);

void attend_chunk(const ChunkRows& rows, const ChunkRows* next, std::uint32_t kv_head, const HeadShape& shape,
                  const QueryRows& queries, float* scratch, const Partials& out) {
  HWY_DYNAMIC_DISPATCH(attend_chunk)(rows, next, kv_head, shape, queries, scratch, out);
}

void merge_partials(std::uint32_t n_rows, std::uint32_t head_dim, const Partials& from, const Partials& into) {
  HWY_DYNAMIC_DISPATCH(merge_partials)(n_rows, head_dim, from, into);
}

std::size_t chunk_scratch_floats(std::uint32_t n_rows, std::uint32_t head_dim) {
  return 2 * std::size_t{head_dim} * kChunk + std::size_t{n_rows} * kChunk;
}

}  // namespace driftwood::cpu
#endif  // HWY_ONCE
