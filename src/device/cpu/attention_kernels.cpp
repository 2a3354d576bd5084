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

/// Asks for what a later chunk reads. Not for the first cache level: records whose distance is a multiple of a large
/// power of two fall into few of its sets, and drive each other out before they are read.
HWY_INLINE void prefetch(const std::byte* from, std::size_t bytes) {
  std::size_t i = 0;
  do {
    __builtin_prefetch(from + i, 0, 2);
    i += kCacheLine;
  } while (i < bytes);
}

/// values[h] = sum over t of weights[h][t] * v[t], for kHeads heads, kVectors vectors of dimensions.
template <std::uint32_t kHeads, std::uint32_t kVectors, typename Row>
HWY_INLINE void weigh_block(const ChunkRows& rows, const ChunkRows* next, std::uint32_t begin, std::size_t offset,
                            std::size_t dimension, const float* weights, std::uint32_t head_dim, float* values) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t part_offset = offset + Row::bytes(dimension);
  const std::size_t part_bytes = Row::bytes(kVectors * lanes);
  const std::uint32_t n_next = next == nullptr ? 0 : next->n;
  Vec sums[kHeads][kVectors];
  for (std::uint32_t h = 0; h < kHeads; ++h) {
    for (std::uint32_t i = 0; i < kVectors; ++i) sums[h][i] = hn::Zero(d);
  }
  for (std::uint32_t t = begin; t < rows.n; ++t) {
    const Row row{rows.keys[t] + offset};
    if (t < n_next) prefetch(next->keys[t] + part_offset, part_bytes);
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

/// Calls `work<kHeads>(head, offset, is_first)` for all query heads, in blocks of a group that share a KV head;
/// `offset`: of that KV head in a row; `is_first`: the block is its group's first.
template <typename Row, typename Work>
HWY_INLINE void for_head_blocks(const HeadShape& shape, const Work& work) {
  const std::uint32_t group = shape.n_head / shape.n_head_kv;
  for (std::uint32_t kv_head = 0; kv_head < shape.n_head_kv; ++kv_head) {
    const std::size_t offset = Row::bytes(std::size_t{kv_head} * shape.head_dim);
    for (std::uint32_t done = 0; done < group; done += kHeadBlock) {
      const std::uint32_t head = kv_head * group + done;
      switch (HWY_MIN(group - done, kHeadBlock)) {
        case 1: work.template operator()<1>(head, offset, done == 0); break;
        case 2: work.template operator()<2>(head, offset, done == 0); break;
        case 3: work.template operator()<3>(head, offset, done == 0); break;
        default: work.template operator()<kHeadBlock>(head, offset, done == 0); break;
      }
    }
  }
}

/// One row of scores, of which [begin, end) are there, becomes weights; the others become 0.
HWY_INLINE void soft_max(float* row, std::uint32_t begin, std::uint32_t end, float softcap, float& maximum,
                         float& sum) {
  if (softcap != 0.0F) apply_softcap(row, kChunk, softcap);
  // After the cap, which makes a number of -infinity.
  for (std::uint32_t t = 0; t < begin; ++t) row[t] = -std::numeric_limits<float>::infinity();
  for (std::uint32_t t = end; t < kChunk; ++t) row[t] = -std::numeric_limits<float>::infinity();
  maximum = max_of(row + begin, end - begin);
  sum = exponentials(row, maximum);
}

template <typename Row>
void attend_chunk_rows(const ChunkRows& rows, const ChunkRows* next, std::uint32_t begin, const HeadShape& shape,
                       const float* q, float* scores, float* values, float* maximum, float* sum) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  const std::uint32_t head_dim = shape.head_dim;
  const std::uint32_t n_next = next == nullptr ? 0 : next->n;
  // Keys are asked for while keys are multiplied, values while values are: the memory is never idle.
  std::uint32_t t = begin;
  for (; t + kTokenBlock <= rows.n; t += kTokenBlock) {
    for (std::uint32_t i = t; i < HWY_MIN(t + kTokenBlock, n_next); ++i) prefetch(next->keys[i], rows.row_bytes);
    for_head_blocks<Row>(shape, [&]<std::uint32_t kHeads>(std::uint32_t head, std::size_t offset, bool) {
      dot_block<kHeads, kTokenBlock, Row>(rows.keys + t, offset, q + std::size_t{head} * head_dim, head_dim,
                                          scores + head * kChunk + t);
    });
  }
  for (; t < rows.n; ++t) {
    for_head_blocks<Row>(shape, [&]<std::uint32_t kHeads>(std::uint32_t head, std::size_t offset, bool) {
      dot_block<kHeads, 1, Row>(rows.keys + t, offset, q + std::size_t{head} * head_dim, head_dim,
                                scores + head * kChunk + t);
    });
  }
  for (std::uint32_t head = 0; head < shape.n_head; ++head) {
    soft_max(scores + head * kChunk, begin, rows.n, shape.softcap, maximum[head], sum[head]);
  }
  for_head_blocks<Row>(shape, [&]<std::uint32_t kHeads>(std::uint32_t head, std::size_t offset, bool is_first) {
    const ChunkRows* wanted = is_first ? next : nullptr;
    const std::size_t value_offset = rows.row_bytes + offset;
    const float* weights = scores + head * kChunk;
    float* into = values + std::size_t{head} * head_dim;
    std::size_t dimension = 0;
    for (; dimension + 4 * lanes <= head_dim; dimension += 4 * lanes) {
      weigh_block<kHeads, 4, Row>(rows, wanted, begin, value_offset, dimension, weights, head_dim, into);
    }
    for (; dimension < head_dim; dimension += 2 * lanes) {
      weigh_block<kHeads, 2, Row>(rows, wanted, begin, value_offset, dimension, weights, head_dim, into);
    }
  });
}

void attend_chunk(const ChunkRows& rows, const ChunkRows* next, std::uint32_t begin, const HeadShape& shape,
                  const float* q, float* scratch, float* values, float* maximum, float* sum) {
  if (rows.type == GGML_TYPE_F16) {
    attend_chunk_rows<HalfRow>(rows, next, begin, shape, q, scratch, values, maximum, sum);
  } else {
    attend_chunk_rows<Q8Row>(rows, next, begin, shape, q, scratch, values, maximum, sum);
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
HWY_INLINE void unpack_chunk(const ChunkRows& rows, std::uint32_t kv_head, std::uint32_t head_dim, float* keys,
                             float* values) {
  const Float d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t head_offset = Row::bytes(std::size_t{kv_head} * head_dim);
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

  if (rows.type == GGML_TYPE_F16) {
    unpack_chunk<HalfRow>(rows, kv_head, head_dim, keys, values);
  } else {
    unpack_chunk<Q8Row>(rows, kv_head, head_dim, keys, values);
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
                  const float* q, float* scratch, float* values, float* maximum, float* sum) {
  HWY_DYNAMIC_DISPATCH(attend_chunk)(rows, next, begin, shape, q, scratch, values, maximum, sum);
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
