// The inner loops of attention, compiled for each vector unit and picked at run time.
//
// KV rows are cut into chunks of kChunk tokens at fixed positions of the sequence.
// A chunk gives a query a partial softmax (maximum, sum, weighted values); partials
// are merged in the order of the chunks, those of kMergeGroup chunks first, then those
// of the groups (online softmax, Milakov & Gimelshein 2018; split over keys as in
// Flash-Decoding). A query's operations and their order depend on nothing but its
// position: not on the queries that share a call.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>

namespace driftwood::cpu {

inline constexpr std::uint32_t kChunk = 64;
inline constexpr std::uint32_t kMergeGroup = 4;  // chunks, from a multiple of it on
inline constexpr std::uint32_t kMaxHeadDim = 256;
// A score is the sums s of the products of every kSums-th dimension: h[i] = s[i] + s[i + 4], then h[0] to h[3] added up
// in order.
inline constexpr std::uint32_t kSums = 8;
inline constexpr std::uint32_t kHalfSums = kSums / 2;

/// K rows of up to kChunk tokens; the V row lies `row_bytes` after its K row.
struct ChunkRows {
  const std::byte* keys[kChunk];
  std::uint32_t n = 0;
  std::size_t row_bytes = 0;
  ggml_type type = GGML_TYPE_F16;
};

/// Of a head: its dimensions, and the transform of its scores.
struct HeadShape {
  std::uint32_t head_dim = 0;
  float softcap = 0.0F;  ///< 0: none
};

/// Queries of one KV head: row r sees tokens [first[r], last[r]) of the chunk, none where first >= last.
struct QueryRows {
  const float* q;  ///< [n][head_dim], scaled
  std::uint32_t n;
  const std::uint32_t* first;
  const std::uint32_t* last;
};

/// Partial softmax of some query rows. Where the sum is 0, the row saw nothing and its other numbers mean nothing.
struct Partials {
  float* values;   ///< [n][head_dim]
  float* maximum;  ///< [n]
  float* sum;      ///< [n]
};

/// Floats of `n_rows` rows' partials where these lie together: the values of all, then the maxima, then the sums.
constexpr std::size_t partial_floats(std::size_t n_rows, std::uint32_t head_dim) noexcept {
  return n_rows * (head_dim + 2);
}
/// Of `n_rows` that lie so at `floats`, those from a row on.
constexpr Partials partials_at(float* floats, std::size_t n_rows, std::uint32_t head_dim, std::uint32_t row) noexcept {
  float* maximum = floats + n_rows * head_dim;
  return {floats + std::size_t{row} * head_dim, maximum + row, maximum + n_rows + row};
}

/// What the queries of one KV head make of a chunk. Rows of `next` (optional) are brought into the cache meanwhile:
/// a record is too far from the next one for the hardware to guess it. `scratch` holds chunk_scratch_floats().
void attend_chunk(const ChunkRows& rows, const ChunkRows* next, std::uint32_t kv_head, const HeadShape& shape,
                  const QueryRows& queries, float* scratch, const Partials& out);
std::size_t chunk_scratch_floats(std::uint32_t n_rows, std::uint32_t head_dim);

/// Merges partials of `n` chunks, `stride` floats apart, each of `n_rows` rows, into those of the chunks before: in
/// order, with the same bits as in as many calls.
void merge_partials(std::uint32_t n_rows, std::uint32_t head_dim, const Partials& from, std::size_t stride,
                    std::uint32_t n, const Partials& into);

}  // namespace driftwood::cpu
