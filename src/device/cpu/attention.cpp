#include "device/cpu/attention.hpp"

#include <ggml-cpu.h>

#include <algorithm>
#include <array>
#include <limits>

#include "core/error.hpp"
#include "device/cpu/attention_kernels.hpp"

namespace driftwood::cpu {
namespace {

constexpr std::uint32_t kTileTokens = 32;  // query tokens of a prefill task

HeadShape shape_of(const AttentionNode& node) { return {node.n_head, node.n_head_kv, node.head_dim, node.softcap}; }

/// Walks over the sequence's records in order.
class RowCursor {
 public:
  RowCursor(const AttentionNode& node, std::uint32_t token) : node_(node) {
    while (token >= node.state->spans[span_].n_tokens) token -= node.state->spans[span_++].n_tokens;
    in_span_ = token;
  }

  /// The K row of the current token; moves on to the next one.
  const std::byte* next() {
    const KvState& state = *node_.state;
    if (in_span_ == state.spans[span_].n_tokens) {
      ++span_;
      in_span_ = 0;
    }
    return state.spans[span_].tokens + in_span_++ * state.token_stride + node_.layer_offset;
  }

 private:
  const AttentionNode& node_;
  std::size_t span_ = 0;
  std::uint32_t in_span_ = 0;
};

/// Rows of chunk number `chunk`, up to token `end` of the sequence.
ChunkRows rows_of_chunk(const AttentionNode& node, std::uint32_t chunk, std::uint32_t end) {
  ChunkRows rows;
  const std::uint32_t begin = chunk * kChunk;
  rows.n = std::min(kChunk, end - begin);
  rows.row_bytes = node.row_bytes;
  rows.type = node.state->type;
  RowCursor cursor(node, begin);
  for (std::uint32_t t = 0; t < rows.n; ++t) rows.keys[t] = cursor.next();
  return rows;
}

/// First token that a query at `position` sees.
std::uint32_t window_begin(const AttentionNode& node, std::uint32_t position) {
  if (node.sliding_window == 0 || position < node.sliding_window) return 0;
  return position + 1 - node.sliding_window;
}

/// One query: each thread takes its share of the chunks; the last to end merges all in their order.
void attend_one(const AttentionNode& node, const float* q, float* out, std::uint32_t thread, std::uint32_t n_threads) {
  KvState& state = *node.state;
  const HeadShape shape = shape_of(node);
  const std::uint32_t end = state.n_past + 1;
  const std::uint32_t begin = window_begin(node, state.n_past);
  const std::uint32_t first_chunk = begin / kChunk;
  const std::uint32_t n_chunks = (end + kChunk - 1) / kChunk - first_chunk;
  const std::size_t values_size = std::size_t{node.n_head} * node.head_dim;
  const std::size_t partial_size = values_size + std::size_t{2} * node.n_head;
  const std::span<float> partials = state.partials.floats(n_chunks * partial_size);

  static thread_local std::vector<float> scaled;
  scaled.resize(values_size);
  std::transform(q, q + values_size, scaled.begin(), [&](float x) { return x * node.scale; });
  static thread_local std::vector<float> scratch;
  scratch.resize(std::size_t{node.n_head} * kChunk);

  const std::uint32_t share_begin = n_chunks * thread / n_threads;
  const std::uint32_t share_end = n_chunks * (thread + 1) / n_threads;
  ChunkRows rows;
  ChunkRows next;
  if (share_begin < share_end) next = rows_of_chunk(node, first_chunk + share_begin, end);
  for (std::uint32_t chunk = share_begin; chunk < share_end; ++chunk) {
    rows = next;
    const bool more = chunk + 1 < share_end;
    if (more) next = rows_of_chunk(node, first_chunk + chunk + 1, end);
    float* values = partials.data() + chunk * partial_size;
    float* maximum = values + values_size;
    const std::uint32_t chunk_begin = (first_chunk + chunk) * kChunk;
    attend_chunk(rows, more ? &next : nullptr, begin > chunk_begin ? begin - chunk_begin : 0, shape, scaled.data(),
                 scratch.data(), values, maximum, maximum + node.n_head);
  }
  if (!state.work.finish(n_threads)) return;

  for (std::uint32_t head = 0; head < node.n_head; ++head) {
    float* into = out + std::size_t{head} * node.head_dim;
    std::fill_n(into, node.head_dim, 0.0F);
    float maximum = -std::numeric_limits<float>::infinity();
    float sum = 0.0F;
    for (std::uint32_t chunk = 0; chunk < n_chunks; ++chunk) {
      const float* values = partials.data() + chunk * partial_size;
      const float* statistics = values + values_size;
      merge_partial(node.head_dim, values + std::size_t{head} * node.head_dim, statistics[head],
                    statistics[node.n_head + head], into, &maximum, &sum);
    }
    std::transform(into, into + node.head_dim, into, [sum](float x) { return x / sum; });
  }
}

/// The memory of one prefill task, kept by each thread.
struct Tile {
  std::vector<float> q, values, maximum, sum, scratch;
  std::vector<std::uint32_t> first, last;

  void resize(std::uint32_t n_rows, std::uint32_t head_dim) {
    q.resize(std::size_t{n_rows} * head_dim);
    values.assign(std::size_t{n_rows} * head_dim, 0.0F);
    maximum.assign(n_rows, -std::numeric_limits<float>::infinity());
    sum.assign(n_rows, 0.0F);
    scratch.resize(tile_scratch_floats(n_rows, head_dim));
    first.resize(n_rows);
    last.resize(n_rows);
  }
};

/// The queries of tokens [token, token + n_tokens) of the pass, for the heads of one KV head.
void attend_task(const AttentionNode& node, std::uint32_t kv_head, std::uint32_t token, std::uint32_t n_tokens,
                 const float* q, float* out) {
  static thread_local Tile tile;
  const KvState& state = *node.state;
  const HeadShape shape = shape_of(node);
  const std::uint32_t group = node.n_head / node.n_head_kv;
  const std::uint32_t n_rows = n_tokens * group;
  const std::size_t token_floats = std::size_t{node.n_head} * node.head_dim;
  const std::size_t head_floats = std::size_t{kv_head} * group * node.head_dim;
  tile.resize(n_rows, node.head_dim);
  for (std::uint32_t i = 0; i < n_tokens; ++i) {
    const float* from = q + (token + i) * token_floats + head_floats;
    std::transform(from, from + std::size_t{group} * node.head_dim,
                   tile.q.begin() + std::ptrdiff_t{i} * group * node.head_dim, [&](float x) { return x * node.scale; });
  }

  const std::uint32_t first_position = state.n_past + token;
  const std::uint32_t end = first_position + n_tokens;
  TileState running{tile.values.data(), tile.maximum.data(), tile.sum.data()};
  for (std::uint32_t chunk = window_begin(node, first_position) / kChunk; chunk * kChunk < end; ++chunk) {
    const std::uint32_t chunk_begin = chunk * kChunk;
    const ChunkRows rows = rows_of_chunk(node, chunk, end);
    for (std::uint32_t r = 0; r < n_rows; ++r) {
      const std::uint32_t position = first_position + r / group;
      const std::uint32_t begin = window_begin(node, position);
      tile.first[r] = std::min(begin > chunk_begin ? begin - chunk_begin : 0, rows.n);
      tile.last[r] = position + 1 > chunk_begin ? std::min(position + 1 - chunk_begin, rows.n) : 0;
    }
    attend_tile(rows, kv_head, shape, tile.q.data(), n_rows, tile.first.data(), tile.last.data(), tile.scratch.data(),
                running);
  }
  for (std::uint32_t r = 0; r < n_rows; ++r) {
    const float sum = tile.sum[r];
    const float* from = tile.values.data() + std::size_t{r} * node.head_dim;
    float* into = out + (token + r / group) * token_floats + head_floats + std::size_t{r % group} * node.head_dim;
    std::transform(from, from + node.head_dim, into, [sum](float x) { return x / sum; });
  }
}

/// Many queries: tasks are tiles of queries for one KV head; the later, longer ones first.
void attend_many(const AttentionNode& node, std::uint32_t n, const float* q, float* out, std::uint32_t n_threads) {
  KvState& state = *node.state;
  const std::uint32_t n_tiles = (n + kTileTokens - 1) / kTileTokens;
  const std::uint32_t n_tasks = n_tiles * node.n_head_kv;
  for (std::uint32_t task = state.work.take(); task < n_tasks; task = state.work.take()) {
    const std::uint32_t token = (n_tiles - 1 - task / node.n_head_kv) * kTileTokens;
    attend_task(node, task % node.n_head_kv, token, std::min(kTileTokens, n - token), q, out);
  }
  state.work.finish(n_threads);
}

void run_attention(ggml_tensor* result, int thread, int n_threads, void* data) {
  const AttentionNode& node = *static_cast<const AttentionNode*>(data);
  const auto n = static_cast<std::uint32_t>(result->ne[1]);
  const auto* q = static_cast<const float*>(result->src[0]->data);
  auto* out = static_cast<float*>(result->data);
  if (n == 1) {
    attend_one(node, q, out, static_cast<std::uint32_t>(thread), static_cast<std::uint32_t>(n_threads));
  } else {
    attend_many(node, n, q, out, static_cast<std::uint32_t>(n_threads));
  }
}

const float* token_of(const ggml_tensor* rows, std::uint32_t token) {
  return reinterpret_cast<const float*>(static_cast<const std::byte*>(rows->data) + token * rows->nb[2]);
}

void run_store(ggml_tensor* result, int thread, int n_threads, void* data) {
  const AttentionNode& node = *static_cast<const AttentionNode*>(data);
  const KvState& state = *node.state;
  const ggml_tensor* k = result->src[0];
  const ggml_tensor* v = result->src[1];
  const auto n = static_cast<std::uint32_t>(k->ne[2]);
  const std::int64_t row = k->ne[0] * k->ne[1];
  const ggml_from_float_t convert = ggml_get_type_traits_cpu(state.type)->from_float;
  const std::uint32_t share = (n + static_cast<std::uint32_t>(n_threads) - 1) / static_cast<std::uint32_t>(n_threads);
  const std::uint32_t begin = static_cast<std::uint32_t>(thread) * share;
  const std::uint32_t end = std::min(n, begin + share);
  if (begin >= end) return;
  for (std::uint32_t i = begin; i < end; ++i) {
    std::byte* into = state.pass + i * state.token_stride + node.layer_offset;
    convert(token_of(k, i), into, row);
    convert(token_of(v, i), into + node.row_bytes, row);
  }
}

}  // namespace

std::span<float> PartialResults::floats(std::size_t floats) {
  const std::lock_guard lock(mutex_);
  if (floats_.size() < floats) floats_.resize(floats * 2);
  return {floats_.data(), floats};
}

ggml_tensor* store_kv(ggml_context* context, ggml_tensor* k, ggml_tensor* v, AttentionNode* node) {
  DW_CHECK(k->type == GGML_TYPE_F32 && v->type == GGML_TYPE_F32);
  DW_CHECK(ggml_are_same_shape(k, v));
  for (const ggml_tensor* rows : {k, v}) {
    DW_CHECK(rows->nb[0] == sizeof(float) && rows->nb[1] == sizeof(float) * static_cast<std::size_t>(rows->ne[0]));
  }
  std::array<ggml_tensor*, 2> sources = {k, v};
  // Its result is never read: the rows go to where the KvState says.
  return ggml_custom_4d(context, GGML_TYPE_F32, 1, 1, 1, 1, sources.data(), static_cast<int>(sources.size()), run_store,
                        GGML_N_TASKS_MAX, node);
}

ggml_tensor* attention(ggml_context* context, ggml_tensor* q, ggml_tensor* after, AttentionNode* node) {
  DW_CHECK(q->type == GGML_TYPE_F32 && ggml_is_contiguous(q));
  DW_CHECK(q->ne[0] == node->head_dim && q->ne[1] == node->n_head && node->n_head % node->n_head_kv == 0);
  DW_CHECK(node->head_dim % 32 == 0 && node->head_dim <= kMaxHeadDim);
  std::array<ggml_tensor*, 2> sources = {q, after};
  return ggml_custom_4d(context, GGML_TYPE_F32, q->ne[0] * q->ne[1], q->ne[2], 1, 1, sources.data(),
                        static_cast<int>(sources.size()), run_attention, GGML_N_TASKS_MAX, node);
}

}  // namespace driftwood::cpu
