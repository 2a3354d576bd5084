#include "device/cpu/attention_kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "device/cpu/attention_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles the rest of this file once for each target
#include <hwy/highway.h>

#include "device/cpu/attention_products-inl.hpp"
#include "device/cpu/attention_rows-inl.hpp"
#include "device/cpu/attention_scores-inl.hpp"
#include "device/cpu/attention_softmax-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace driftwood::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::uint32_t kMostDirect = 8;    // query rows for which keys and values are read where they lie
constexpr std::uint32_t kDirectBlock = 4;   // of them, rows that share loads
constexpr std::uint32_t kTokensAhead = 16;  // whose values are fetched into the first cache level

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
    prefetch<CacheLevel::first>(rows.keys[HWY_MIN(t + kTokensAhead, rows.n - 1)] + part_offset, part_bytes);
    if (t < n_next) {
      prefetch<CacheLevel::second>(next->keys[t] + part_offset, part_bytes);
      prefetch<CacheLevel::second>(next->keys[t] + part_offset - rows.row_bytes, part_bytes);
    }
    Vec weight[kRows];
    for (std::uint32_t r = 0; r < kRows; ++r) weight[r] = hn::Set(d, weights[r * kChunk + t]);
    HWY_UNROLL(4)
    for (std::uint32_t i = 0; i < kVectors; ++i) {
      const Vec v = row.load(dimension + i * lanes);
      HWY_UNROLL(4)
      for (std::uint32_t r = 0; r < kRows; ++r) sums[r][i] = hn::MulAdd(weight[r], v, sums[r][i]);
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
  // As many sums as the register file holds beside the weights.
  constexpr std::uint32_t kVectors = kManyRegisters || kRows < 4 ? 4 : 2;
  std::size_t dimension = 0;
  for (; dimension + kVectors * lanes <= head_dim; dimension += kVectors * lanes) {
    weigh_block<kRows, kVectors, Row>(rows, next, offset, dimension, weights, head_dim, values);
  }
  for (; dimension < head_dim; dimension += 2 * lanes) {
    weigh_block<kRows, 2, Row>(rows, next, offset, dimension, weights, head_dim, values);
  }
}

/// Scores as score_rows() computes them, with the same bits, from transposed keys.
HWY_INLINE void score_tile(const QueryRows& queries, std::uint32_t head_dim, const float* keys, std::uint32_t columns,
                           float* scores) {
  multiply<kSums>({.a = queries.q, .a_stride = head_dim, .b = keys, .b_stride = kChunk, .depth = head_dim}, queries.n,
                  columns, scores, kChunk);
}

/// Calls work<kRows>(first row, whether to ask for the next chunk's) for all of `n` rows.
template <typename Work>
HWY_INLINE void for_row_blocks(std::uint32_t n, const Work& work) {
  for (std::uint32_t r = 0; r < n; r += kDirectBlock) {
    switch (HWY_MIN(n - r, kDirectBlock)) {
      case 1: work.template operator()<1>(r, r == 0); break;
      case 2: work.template operator()<2>(r, r == 0); break;
      case 3: work.template operator()<3>(r, r == 0); break;
      default: work.template operator()<kDirectBlock>(r, r == 0); break;
    }
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

  if (queries.n > kMostDirect) {
    transpose_keys<Row>(rows, next, key_offset, head_dim, keys);
    score_tile(queries, head_dim, keys, columns, scores);
    softmax_rows(queries, columns, shape.softcap, scores, out);
    unpack_values<Row>(rows, next, value_offset, head_dim, values);
    multiply<1>({.a = scores, .a_stride = kChunk, .b = values, .b_stride = head_dim, .depth = rows.n}, queries.n,
                head_dim, out.values, head_dim);
    return;
  }
  // Keys are asked for while keys are read, values while values are: the memory is never idle. A processor may drop
  // what it is asked for while too much is on its way, so the other half is asked for once more each time. What is in
  // the second cache level by then is fetched into the first some tokens ahead.
  for_row_blocks(queries.n, [&]<std::uint32_t kRows>(std::uint32_t r, bool is_first) {
    score_rows<kRows, Row>(rows, is_first ? next : nullptr, key_offset, queries.q + std::size_t{r} * head_dim, head_dim,
                           scores + std::size_t{r} * kChunk);
  });
  softmax_rows(queries, columns, shape.softcap, scores, out);
  for_row_blocks(queries.n, [&]<std::uint32_t kRows>(std::uint32_t r, bool is_first) {
    weigh_rows<kRows, Row>(rows, is_first ? next : nullptr, value_offset, scores + std::size_t{r} * kChunk, head_dim,
                           out.values + std::size_t{r} * head_dim);
  });
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

void merge_partials(std::uint32_t n_rows, std::uint32_t head_dim, const Partials& from, std::size_t stride,
                    std::uint32_t n, const Partials& into) {
  HWY_DYNAMIC_DISPATCH(merge_partials)(n_rows, head_dim, from, stride, n, into);
}

std::size_t chunk_scratch_floats(std::uint32_t n_rows, std::uint32_t head_dim) {
  return 2 * std::size_t{head_dim} * kChunk + std::size_t{n_rows} * kChunk;
}

}  // namespace driftwood::cpu
#endif  // HWY_ONCE
