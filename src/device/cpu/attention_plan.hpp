// How the threads of a machine share the attention of a pass: a list of tasks, made once for all layers alike.
//
//   tile     queries of some tokens of a longer piece of one sequence, for one KV head
//   shared   queries of several sequences that begin with the same spans, over these, for one KV head
//   chunks   all queries of a short piece of one sequence, over a part of its keys, for all heads
//
// Pure arithmetic over where rows lie; reads none.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace driftwood::cpu {

/// Tokens of a sequence that lie one after another, KvSequence::token_stride bytes apart.
struct KvSpan {
  const std::byte* tokens = nullptr;  ///< record of the span's first token
  std::uint32_t n_tokens = 0;
};

/// One sequence of a pass.
struct KvSequence {
  std::vector<KvSpan> spans;     ///< in order; they hold n_past tokens and the rows of the pass
  std::byte* pass = nullptr;     ///< record of its first token of the pass, where it is written; part of the last span
  std::size_t token_stride = 0;  ///< bytes
  std::size_t row_bytes = 0;     ///< of a K row (n_head_kv * head_dim elements), V alike
  ggml_type type = GGML_TYPE_F16;  ///< GGML_TYPE_F16 or GGML_TYPE_Q8_0
  std::uint32_t n_past = 0;        ///< tokens before the pass
  std::uint32_t n_tokens = 1;      ///< of the pass
};

/// A model's heads.
struct AttentionHeads {
  std::uint32_t n_head = 0;
  std::uint32_t n_head_kv = 0;
  std::uint32_t head_dim = 0;  ///< a multiple of 32, at most 256

  /// Query heads that read one KV head.
  std::uint32_t group() const noexcept { return n_head / n_head_kv; }
};

struct AttentionTask {
  enum class Kind : std::uint8_t { tile, shared, chunks };
  Kind kind = Kind::tile;
  std::uint32_t of = 0;       ///< the sequence; for `shared` the group
  std::uint32_t kv_head = 0;  ///< tile, shared
  std::uint32_t begin = 0;    ///< tile: tokens of the pass, from the sequence's first; shared: members of the group;
  std::uint32_t end = 0;      ///< chunks: chunks of kChunk keys
  std::uint64_t cost = 0;     ///< for sorting: query rows times keys, about
};

/// Sequences with one token in the pass whose first chunks are the same bytes.
struct SharedGroup {
  std::vector<std::uint32_t> members;
  std::uint32_t n_chunks = 0;
};

/// Tokens of a sequence that are too few to make tiles of, which would leave threads without any.
inline constexpr std::uint32_t kShortPiece = 4;

/// A sequence with at most kShortPiece tokens in the pass: [first_chunk, end_chunk) are its own; what it shares, which
/// only one token does, lies before.
struct ShortPiece {
  bool shares = false;
  std::uint32_t first_chunk = 0;
  std::uint32_t end_chunk = 0;
  bool by_groups = false;           ///< its tasks merge whole groups of kMergeGroup chunks, else nothing
  std::uint32_t first_partial = 0;  ///< where its partials begin: one for each token of its first chunk or group, ...
  std::uint32_t n_tasks = 0;        ///< that have a part in it
};

struct AttentionPlan {
  std::vector<AttentionTask> tasks;  ///< the costly ones first
  std::vector<SharedGroup> groups;
  std::vector<ShortPiece> pieces;         ///< by sequence; of longer ones, nothing
  std::vector<std::uint32_t> first_rows;  ///< by sequence: its first row of the pass
  std::uint32_t n_partials = 0;           ///< of all pieces
};

AttentionPlan plan_attention(std::span<const KvSequence> sequences, const AttentionHeads& heads, std::uint32_t window,
                             std::uint32_t threads);

/// First token that a query at `position` sees.
inline std::uint32_t window_begin(std::uint32_t window, std::uint32_t position) noexcept {
  return window == 0 || position < window ? 0 : position + 1 - window;
}

}  // namespace driftwood::cpu
