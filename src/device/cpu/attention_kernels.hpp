// The inner loops of attention, compiled for each vector unit and picked at run time.
//
// KV rows are cut into chunks of kChunk tokens at fixed positions of the sequence.
// A chunk gives a partial softmax (maximum, sum, weighted values); partials are
// merged in the order of the chunks (online softmax, Milakov & Gimelshein 2018;
// split over keys as in Flash-Decoding).
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>

namespace driftwood::cpu {

inline constexpr std::uint32_t kChunk = 64;
inline constexpr std::uint32_t kMaxHeadDim = 256;

/// K rows of up to kChunk tokens; the V row lies `row_bytes` after its K row.
struct ChunkRows {
  const std::byte* keys[kChunk];
  std::uint32_t n = 0;
  std::size_t row_bytes = 0;
  ggml_type type = GGML_TYPE_F16;
};

/// Heads of a model and the head-wise transform of its scores.
struct HeadShape {
  std::uint32_t n_head = 0;
  std::uint32_t n_head_kv = 0;
  std::uint32_t head_dim = 0;
  float softcap = 0.0F;
};

/// One query against tokens [begin, rows.n) of a chunk. Rows of `next` (optional) are brought into
/// the cache meanwhile: a record is too far from the next one for the hardware to guess it.
/// q: [n_head][head_dim], scaled; scratch: n_head * kChunk floats. Out: values [n_head][head_dim], maximum [n_head],
/// sum [n_head].
void attend_chunk(const ChunkRows& rows, const ChunkRows* next, std::uint32_t begin, const HeadShape& shape,
                  const float* q, float* scratch, float* values, float* maximum, float* sum);

/// Running result of `n_rows` query rows that share one KV head.
struct TileState {
  float* values;   ///< [n_rows][head_dim], zero at first
  float* maximum;  ///< [n_rows], -infinity at first
  float* sum;      ///< [n_rows], zero at first
};

/// Merges one chunk into a tile. q: [n_rows][head_dim], scaled. Row r sees tokens
/// [first[r], last[r]) of the chunk. `scratch` holds tile_scratch_floats(...) floats.
void attend_tile(const ChunkRows& rows, std::uint32_t kv_head, const HeadShape& shape, const float* q,
                 std::uint32_t n_rows, const std::uint32_t* first, const std::uint32_t* last, float* scratch,
                 TileState& state);
std::size_t tile_scratch_floats(std::uint32_t n_rows, std::uint32_t head_dim);

/// Merges a partial (values, maximum, sum) into another: one row of head_dim values.
void merge_partial(std::uint32_t head_dim, const float* values, float maximum, float sum, float* into_values,
                   float* into_maximum, float* into_sum);

}  // namespace driftwood::cpu
