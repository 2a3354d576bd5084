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
constexpr std::uint32_t kRowBlock = 6;   // query rows that share loads of a chunk
constexpr std::uint32_t kHeadBlock = 4;  // query heads of a group that share loads of a row
constexpr std::uint32_t kTokenBlock = 4;

/// `lanes` elements of an f16 row.
struct HalfRow {
  const std::byte* data;

  HWY_INLINE Vec load(std::size_t element) const {
    const Float d;
    const hn::Rebind<hwy::float16_t, Float> dh;
    return hn::PromoteTo(d, hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(data) + element));
  }
};

/// Elements of a row in blocks of 32: an f16 scale, then 32 signed bytes (ggml's q8_0).
struct Q8Row {
  const std::byte* data;

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

HWY_INLINE std::size_t head_bytes(ggml_type type, std::uint32_t head_dim) {
  return type == GGML_TYPE_F16 ? head_dim * sizeof(hwy::float16_t) : head_dim / kQ8Block * kQ8Bytes;
}

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

/// scores[h][t] = q[h] . k[t] for kHeads heads of a group and kTokens tokens.
template <std::uint32_t kHeads, std::uint32_t kTokens, typename Row>
HWY_INLINE void dot_block(const std::byte* const* keys, std::size_t offset, const float* q, std::uint32_t head_dim,
                          float* scores) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  Vec sums[kHeads][kTokens];
  for (std::uint32_t h = 0; h < kHeads; ++h) {
    for (std::uint32_t t = 0; t < kTokens; ++t) sums[h][t] = hn::Zero(d);
  }
  for (std::size_t i = 0; i < head_dim; i += lanes) {
    Vec k[kTokens];
    for (std::uint32_t t = 0; t < kTokens; ++t) k[t] = Row{keys[t] + offset}.load(i);
    for (std::uint32_t h = 0; h < kHeads; ++h) {
      const Vec query = hn::LoadU(d, q + h * head_dim + i);
      for (std::uint32_t t = 0; t < kTokens; ++t) sums[h][t] = hn::MulAdd(query, k[t], sums[h][t]);
    }
  }
  for (std::uint32_t h = 0; h < kHeads; ++h) {
    for (std::uint32_t t = 0; t < kTokens; ++t) {
      scores[h * kChunk + t] = hn::GetLane(hn::SumOfLanes(d, sums[h][t]));
    }
  }
}

/// values[h] = sum over t of weights[h][t] * v[t], for kHeads heads, kVectors vectors of dimensions.
template <std::uint32_t kHeads, std::uint32_t kVectors, typename Row>
HWY_INLINE void weigh_block(const ChunkRows& rows, std::uint32_t begin, std::size_t offset, std::size_t dimension,
                            const float* weights, std::uint32_t head_dim, float* values) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  Vec sums[kHeads][kVectors];
  for (std::uint32_t h = 0; h < kHeads; ++h) {
    for (std::uint32_t i = 0; i < kVectors; ++i) sums[h][i] = hn::Zero(d);
  }
  for (std::uint32_t t = begin; t < rows.n; ++t) {
    const Row row{rows.keys[t] + offset};
    Vec v[kVectors];
    for (std::uint32_t i = 0; i < kVectors; ++i) v[i] = row.load(dimension + i * lanes);
    for (std::uint32_t h = 0; h < kHeads; ++h) {
      const Vec weight = hn::Set(d, weights[h * kChunk + t]);
      for (std::uint32_t i = 0; i < kVectors; ++i) sums[h][i] = hn::MulAdd(weight, v[i], sums[h][i]);
    }
  }
  for (std::uint32_t h = 0; h < kHeads; ++h) {
    for (std::uint32_t i = 0; i < kVectors; ++i) {
      hn::StoreU(sums[h][i], d, values + h * head_dim + dimension + i * lanes);
    }
  }
}

/// Asks for one head's part of the rows of tokens [begin, end).
HWY_INLINE void prefetch(const ChunkRows& rows, std::uint32_t begin, std::uint32_t end, std::size_t offset,
                         std::size_t bytes) {
  for (std::uint32_t t = begin; t < HWY_MIN(end, rows.n); ++t) {
    for (std::size_t i = offset; i < offset + bytes; i += 64) {
      __builtin_prefetch(rows.keys[t] + i);
      __builtin_prefetch(rows.keys[t] + rows.row_bytes + i);
    }
  }
}

template <std::uint32_t kHeads, typename Row>
HWY_INLINE void attend_heads(const ChunkRows& rows, const ChunkRows* next, std::uint32_t begin, std::size_t head_offset,
                             const HeadShape& shape, const float* q, float* values, float* maximum, float* sum) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  alignas(64) float scores[kHeads * kChunk];
  for (float& score : scores) score = -std::numeric_limits<float>::infinity();
  std::uint32_t t = begin;
  for (; t + kTokenBlock <= rows.n; t += kTokenBlock) {
    if (next != nullptr) prefetch(*next, t, t + kTokenBlock, head_offset, head_bytes(rows.type, shape.head_dim));
    dot_block<kHeads, kTokenBlock, Row>(rows.keys + t, head_offset, q, shape.head_dim, scores + t);
  }
  for (; t < rows.n; ++t) dot_block<kHeads, 1, Row>(rows.keys + t, head_offset, q, shape.head_dim, scores + t);
  for (std::uint32_t h = 0; h < kHeads; ++h) {
    float* row = scores + h * kChunk;
    // Only the scores that are there: a capped -infinity would be a number.
    if (shape.softcap != 0.0F) {
      for (std::uint32_t i = 0; i < begin; ++i) row[i] = 0.0F;
      apply_softcap(row, kChunk, shape.softcap);
      for (std::uint32_t i = 0; i < begin; ++i) row[i] = -std::numeric_limits<float>::infinity();
      for (std::uint32_t i = rows.n; i < kChunk; ++i) row[i] = -std::numeric_limits<float>::infinity();
    }
    maximum[h] = max_of(row + begin, rows.n - begin);
    sum[h] = exponentials(row, maximum[h]);
  }
  const std::size_t value_offset = rows.row_bytes + head_offset;
  std::size_t dimension = 0;
  for (; dimension + 4 * lanes <= shape.head_dim; dimension += 4 * lanes) {
    weigh_block<kHeads, 4, Row>(rows, begin, value_offset, dimension, scores, shape.head_dim, values);
  }
  for (; dimension < shape.head_dim; dimension += 2 * lanes) {
    weigh_block<kHeads, 2, Row>(rows, begin, value_offset, dimension, scores, shape.head_dim, values);
  }
}

template <typename Row>
void attend_chunk_rows(const ChunkRows& rows, const ChunkRows* next, std::uint32_t begin, const HeadShape& shape,
                       const float* q, float* values, float* maximum, float* sum) {
  const std::uint32_t group = shape.n_head / shape.n_head_kv;
  const std::size_t bytes = head_bytes(rows.type, shape.head_dim);
  for (std::uint32_t kv_head = 0; kv_head < shape.n_head_kv; ++kv_head) {
    const std::size_t offset = kv_head * bytes;
    for (std::uint32_t done = 0; done < group;) {
      const std::uint32_t head = kv_head * group + done;
      const std::uint32_t heads = HWY_MIN(group - done, kHeadBlock);
      const float* qh = q + std::size_t{head} * shape.head_dim;
      float* vh = values + std::size_t{head} * shape.head_dim;
      const ChunkRows* wanted = done == 0 ? next : nullptr;
      const auto attend = [&]<std::uint32_t kHeads>() {
        attend_heads<kHeads, Row>(rows, wanted, begin, offset, shape, qh, vh, maximum + head, sum + head);
      };
      switch (heads) {
        case 1: attend.template operator()<1>(); break;
        case 2: attend.template operator()<2>(); break;
        case 3: attend.template operator()<3>(); break;
        default: attend.template operator()<kHeadBlock>(); break;
      }
      done += heads;
    }
  }
}

void attend_chunk(const ChunkRows& rows, const ChunkRows* next, std::uint32_t begin, const HeadShape& shape,
                  const float* q, float* values, float* maximum, float* sum) {
  if (rows.type == GGML_TYPE_F16) {
    attend_chunk_rows<HalfRow>(rows, next, begin, shape, q, values, maximum, sum);
  } else {
    attend_chunk_rows<Q8Row>(rows, next, begin, shape, q, values, maximum, sum);
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

/// c [rows][columns] = a [rows][depth] * b [depth][columns]; columns are a multiple of 32.
template <std::uint32_t kVectors>
HWY_INLINE void multiply_columns(const float* a, std::size_t a_stride, const float* b, std::size_t b_stride,
                                 std::uint32_t rows, std::uint32_t depth, float* c, std::size_t c_stride) {
  std::uint32_t r = 0;
  for (; r + kRowBlock <= rows; r += kRowBlock) {
    multiply_block<kRowBlock, kVectors>(a + r * a_stride, a_stride, b, b_stride, depth, c + r * c_stride, c_stride);
  }
  for (; r < rows; ++r) {
    multiply_block<1, kVectors>(a + r * a_stride, a_stride, b, b_stride, depth, c + r * c_stride, c_stride);
  }
}

HWY_INLINE void multiply(const float* a, std::size_t a_stride, const float* b, std::uint32_t rows, std::uint32_t depth,
                         std::uint32_t columns, float* c) {
  const Float d;
  // As many accumulators as the register file holds: 32 registers (AVX-512, NEON) or 16.
  constexpr std::uint32_t kVectors = (HWY_TARGET <= HWY_AVX3) || HWY_ARCH_ARM ? 4 : 2;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t column = 0;
  for (; column + kVectors * lanes <= columns; column += kVectors * lanes) {
    multiply_columns<kVectors>(a, a_stride, b + column, columns, rows, depth, c + column, columns);
  }
  for (; column < columns; column += 2 * lanes) {
    multiply_columns<2>(a, a_stride, b + column, columns, rows, depth, c + column, columns);
  }
}

/// The chunk's keys of one head as [head_dim][kChunk] and its values as [kChunk][head_dim], in f32.
template <typename Row>
HWY_INLINE void unpack_chunk(const ChunkRows& rows, std::size_t head_offset, std::uint32_t head_dim, float* keys,
                             float* values) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  alignas(64) float line[16];
  for (std::uint32_t t = 0; t < rows.n; ++t) {
    const Row key{rows.keys[t] + head_offset};
    const Row value{rows.keys[t] + rows.row_bytes + head_offset};
    for (std::size_t i = 0; i < head_dim; i += lanes) {
      hn::Store(key.load(i), d, line);
      for (std::size_t lane = 0; lane < lanes; ++lane) keys[(i + lane) * kChunk + t] = line[lane];
      hn::StoreU(value.load(i), d, values + std::size_t{t} * head_dim + i);
    }
  }
  for (std::uint32_t t = rows.n; t < kChunk; ++t) {
    for (std::uint32_t i = 0; i < head_dim; ++i) keys[std::size_t{i} * kChunk + t] = 0.0F;
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

void merge_partial(std::uint32_t head_dim, const float* values, float maximum, float sum, float* into_values,
                   float* into_maximum, float* into_sum) {
  if (sum == 0.0F) return;
  const float larger = HWY_MAX(maximum, *into_maximum);
  const float keep = *into_sum == 0.0F ? 0.0F : std::exp(*into_maximum - larger);
  const float weight = std::exp(maximum - larger);
  blend(head_dim, values, weight, keep, into_values);
  *into_sum = *into_sum * keep + sum * weight;
  *into_maximum = larger;
}

void attend_tile(const ChunkRows& rows, std::uint32_t kv_head, const HeadShape& shape, const float* q,
                 std::uint32_t n_rows, const std::uint32_t* first, const std::uint32_t* last, float* scratch,
                 TileState& state) {
  const std::uint32_t head_dim = shape.head_dim;
  float* keys = scratch;
  float* values = keys + std::size_t{head_dim} * kChunk;
  float* scores = values + std::size_t{head_dim} * kChunk;
  float* weighted = scores + std::size_t{n_rows} * kChunk;

  const std::size_t offset = kv_head * head_bytes(rows.type, head_dim);
  if (rows.type == GGML_TYPE_F16) {
    unpack_chunk<HalfRow>(rows, offset, head_dim, keys, values);
  } else {
    unpack_chunk<Q8Row>(rows, offset, head_dim, keys, values);
  }
  multiply(q, head_dim, keys, n_rows, head_dim, kChunk, scores);
  for (std::uint32_t r = 0; r < n_rows; ++r) {
    float* row = scores + std::size_t{r} * kChunk;
    if (shape.softcap != 0.0F) apply_softcap(row, kChunk, shape.softcap);
    for (std::uint32_t t = 0; t < first[r]; ++t) row[t] = -std::numeric_limits<float>::infinity();
    for (std::uint32_t t = last[r]; t < kChunk; ++t) row[t] = -std::numeric_limits<float>::infinity();
    if (first[r] >= last[r]) {
      for (std::uint32_t t = 0; t < kChunk; ++t) row[t] = 0.0F;
      continue;
    }
    const float chunk_maximum = max_of(row + first[r], last[r] - first[r]);
    const float larger = HWY_MAX(chunk_maximum, state.maximum[r]);
    const float chunk_sum = exponentials(row, larger);
    const float keep = state.sum[r] == 0.0F ? 0.0F : std::exp(state.maximum[r] - larger);
    state.sum[r] = state.sum[r] * keep + chunk_sum;
    state.maximum[r] = larger;
    if (keep != 1.0F) {
      float* kept = state.values + std::size_t{r} * head_dim;
      blend(head_dim, kept, 0.0F, keep, kept);
    }
  }
  multiply(scores, kChunk, values, n_rows, rows.n, head_dim, weighted);
  blend(n_rows * head_dim, weighted, 1.0F, 1.0F, state.values);
}

}  // namespace HWY_NAMESPACE
}  // namespace driftwood::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace driftwood::cpu {

HWY_EXPORT(attend_chunk);
HWY_EXPORT(attend_tile);
HWY_EXPORT(merge_partial);

void attend_chunk(const ChunkRows& rows, const ChunkRows* next, std::uint32_t begin, const HeadShape& shape,
                  const float* q, float* values, float* maximum, float* sum) {
  HWY_DYNAMIC_DISPATCH(attend_chunk)(rows, next, begin, shape, q, values, maximum, sum);
}

void attend_tile(const ChunkRows& rows, std::uint32_t kv_head, const HeadShape& shape, const float* q,
                 std::uint32_t n_rows, const std::uint32_t* first, const std::uint32_t* last, float* scratch,
                 TileState& state) {
  HWY_DYNAMIC_DISPATCH(attend_tile)(rows, kv_head, shape, q, n_rows, first, last, scratch, state);
}

void merge_partial(std::uint32_t head_dim, const float* values, float maximum, float sum, float* into_values,
                   float* into_maximum, float* into_sum) {
  HWY_DYNAMIC_DISPATCH(merge_partial)(head_dim, values, maximum, sum, into_values, into_maximum, into_sum);
}

std::size_t tile_scratch_floats(std::uint32_t n_rows, std::uint32_t head_dim) {
  return 2 * std::size_t{head_dim} * kChunk + std::size_t{n_rows} * (kChunk + head_dim);
}

}  // namespace driftwood::cpu
#endif  // HWY_ONCE
