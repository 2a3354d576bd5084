#include "device/cpu/attention.hpp"

#include <ggml-cpu.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>

#include "core/error.hpp"
#include "device/cpu/attention_kernels.hpp"
#include "device/cpu/attention_partials.hpp"
#include "device/cpu/work_counter.hpp"

namespace driftwood::cpu {

struct KvState::Work {
  explicit Work(Crew* crew) noexcept : counter(crew) {}

  std::uint32_t window = 0;
  AttentionPlan plan;
  WorkCounter counter;
  PartialStore pieces;                                       ///< by ShortPiece::first_partial
  PartialStore shared;                                       ///< by sequence: of all whole groups, of the last one
  std::unique_ptr<std::atomic<std::uint32_t>[]> unfinished;  ///< by sequence: tasks that have not ended in this layer
  std::size_t n_unfinished = 0;
};

KvState::KvState(Crew* crew) noexcept : crew_(crew) {}
KvState::~KvState() = default;

void KvState::plan(const AttentionHeads& heads, std::span<const std::uint32_t> windows, std::uint32_t threads) {
  works_.resize(windows.size());
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (works_[i] == nullptr) works_[i] = std::make_unique<Work>(crew_);
    Work& work = *works_[i];
    work.window = windows[i];
    work.plan = plan_attention(sequences, heads, windows[i], threads);
    work.pieces.resize(heads, work.plan.n_partials);
    if (!work.plan.groups.empty()) work.shared.resize(heads, static_cast<std::uint32_t>(2 * sequences.size()));
    if (work.n_unfinished < sequences.size()) {
      work.n_unfinished = sequences.size();
      work.unfinished = std::make_unique<std::atomic<std::uint32_t>[]>(work.n_unfinished);
    }
    for (std::size_t s = 0; s < sequences.size(); ++s) {
      work.unfinished[s].store(work.plan.pieces[s].n_tasks, std::memory_order_relaxed);
    }
  }
}

KvState::Work& KvState::work(std::uint32_t window) {
  const auto found = std::ranges::find(works_, window, [](const auto& work) { return work->window; });
  DW_CHECK(found != works_.end());
  return **found;
}

namespace {

/// Walks over a sequence's records in order.
class RowCursor {
 public:
  RowCursor(const KvSequence& sequence, std::uint32_t token) : sequence_(sequence) {
    while (token >= sequence.spans[span_].n_tokens) token -= sequence.spans[span_++].n_tokens;
    in_span_ = token;
  }

  /// The current token's record; moves on to the next one.
  const std::byte* next() {
    if (in_span_ == sequence_.spans[span_].n_tokens) {
      ++span_;
      in_span_ = 0;
    }
    return sequence_.spans[span_].tokens + in_span_++ * sequence_.token_stride;
  }

 private:
  const KvSequence& sequence_;
  std::size_t span_ = 0;
  std::uint32_t in_span_ = 0;
};

/// One layer's attention of one pass, by one of its threads.
class LayerAttention {
 public:
  LayerAttention(const AttentionNode& node, const float* q, float* out)
      : node_(node),
        shape_{node.heads.head_dim, node.softcap},
        sequences_(node.state->sequences),
        work_(node.state->work(node.sliding_window)),
        q_(q),
        out_(out),
        token_floats_(std::size_t{node_.heads.n_head} * shape_.head_dim) {}

  /// Called once by each of the operator's threads.
  void run(std::uint32_t n_threads) const {
    work_.counter.share(n_threads, [this] { take_tasks(); });
  }

 private:
  void take_tasks() const {
    const std::vector<AttentionTask>& tasks = work_.plan.tasks;
    // Each task is known one ahead, so that its first rows can be asked for.
    std::uint32_t ahead = 0;
    for (std::uint32_t i = work_.counter.take(); i < tasks.size(); i = ahead) {
      ahead = work_.counter.take();
      switch (tasks[i].kind) {
        case AttentionTask::Kind::tile: run_tile(tasks[i]); break;
        case AttentionTask::Kind::shared: run_shared(tasks[i]); break;
        case AttentionTask::Kind::chunks: run_chunks(tasks[i], ahead < tasks.size() ? &tasks[ahead] : nullptr); break;
      }
    }
  }

  static TaskMemory& memory() {
    static thread_local TaskMemory memory;
    return memory;
  }

  ChunkRows rows_of_chunk(const KvSequence& sequence, std::uint32_t chunk, std::uint32_t end) const {
    ChunkRows rows;
    const std::uint32_t begin = chunk * kChunk;
    rows.n = std::min(kChunk, end - begin);
    rows.row_bytes = sequence.row_bytes;
    rows.type = sequence.type;
    const std::size_t layer_offset = std::size_t{2} * sequence.row_bytes * node_.layer;
    RowCursor cursor(sequence, begin);
    for (std::uint32_t t = 0; t < rows.n; ++t) rows.keys[t] = cursor.next() + layer_offset;
    return rows;
  }

  void scale_queries(const float* from, std::size_t n, float* into) const {
    std::transform(from, from + n, into, [this](float x) { return x * node_.scale; });
  }
  void write_results(const Partials& from, std::uint32_t row, std::uint32_t n, float* into) const {
    for (std::uint32_t i = 0; i < n; ++i) {
      const float sum = from.sum[row + i];
      const float* values = from.values + std::size_t{row + i} * shape_.head_dim;
      std::transform(values, values + shape_.head_dim, into + std::size_t{i} * shape_.head_dim,
                     [sum](float x) { return x / sum; });
    }
  }
  /// What a query at `position` sees of a chunk.
  void set_visible(std::uint32_t position, std::uint32_t chunk, std::uint32_t n, std::uint32_t& first,
                   std::uint32_t& last) const {
    const std::uint32_t chunk_begin = chunk * kChunk;
    const std::uint32_t begin = window_begin(node_.sliding_window, position);
    first = std::min(begin > chunk_begin ? begin - chunk_begin : 0, n);
    last = position + 1 > chunk_begin ? std::min(position + 1 - chunk_begin, n) : 0;
  }

  void run_tile(const AttentionTask& task) const {
    const KvSequence& sequence = sequences_[task.of];
    const std::uint32_t group = node_.heads.group();
    const std::uint32_t n_rows = (task.end - task.begin) * group;
    const std::size_t at = (work_.plan.first_rows[task.of] + task.begin) * token_floats_ +
                           std::size_t{task.kv_head} * group * shape_.head_dim;
    const std::size_t row_floats = std::size_t{group} * shape_.head_dim;
    TaskMemory& memory = LayerAttention::memory();
    memory.reset(n_rows, shape_.head_dim);
    for (std::uint32_t i = 0; i < task.end - task.begin; ++i) {
      scale_queries(q_ + at + i * token_floats_, row_floats, memory.q.data() + i * row_floats);
    }
    const std::uint32_t first_position = sequence.n_past + task.begin;
    const std::uint32_t end = sequence.n_past + task.end;
    const Running running = memory.running();
    const std::uint32_t first_chunk = window_begin(node_.sliding_window, first_position) / kChunk;
    attend_chunks(sequence, first_chunk, end, task.kv_head, running,
                  [&](std::uint32_t row) { return first_position + row / group; });
    running.close_group();
    for (std::uint32_t i = 0; i < task.end - task.begin; ++i) {
      write_results(running.all, i * group, group, out_ + at + i * token_floats_);
    }
  }

  /// What the thread's queries, of one KV head and at the positions that `position_of` says, make of the tokens from
  /// `chunk` on and before `end`, added to `running`.
  template <typename PositionOf>
  void attend_chunks(const KvSequence& sequence, std::uint32_t chunk, std::uint32_t end, std::uint32_t kv_head,
                     const Running& running, const PositionOf& position_of) const {
    if (chunk * kChunk >= end) return;
    TaskMemory& memory = LayerAttention::memory();
    const std::uint32_t n_rows = running.n_rows;
    const QueryRows queries{memory.q.data(), n_rows, memory.first.data(), memory.last.data()};
    std::uint32_t first = chunk;  // of the group
    ChunkRows rows;
    ChunkRows next = rows_of_chunk(sequence, chunk, end);
    for (; chunk * kChunk < end; ++chunk) {
      rows = next;
      const bool more = (chunk + 1) * kChunk < end;
      if (more) next = rows_of_chunk(sequence, chunk + 1, end);
      for (std::uint32_t r = 0; r < n_rows; ++r) {
        set_visible(position_of(r), chunk, rows.n, memory.first[r], memory.last[r]);
      }
      const std::uint32_t in_group = chunk % kMergeGroup;
      first = std::max(first, chunk - in_group);
      attend_chunk(rows, more ? &next : nullptr, kv_head, shape_, queries, memory.scratch.data(),
                   memory.chunk(in_group));
      if (in_group == kMergeGroup - 1 || !more) {
        running.add(first, memory.chunk(first % kMergeGroup), memory.stride(), chunk + 1 - first);
      }
    }
  }

  void run_shared(const AttentionTask& task) const {
    const SharedGroup& shared = work_.plan.groups[task.of];
    const std::span members = std::span(shared.members).subspan(task.begin, task.end - task.begin);
    const std::uint32_t group = node_.heads.group();
    const auto n_rows = static_cast<std::uint32_t>(members.size()) * group;
    const std::size_t head_floats = std::size_t{task.kv_head} * group * shape_.head_dim;
    const std::size_t row_floats = std::size_t{group} * shape_.head_dim;
    TaskMemory& memory = LayerAttention::memory();
    memory.reset(n_rows, shape_.head_dim);
    std::uint32_t first_position = std::numeric_limits<std::uint32_t>::max();
    for (std::size_t i = 0; i < members.size(); ++i) {
      scale_queries(q_ + work_.plan.first_rows[members[i]] * token_floats_ + head_floats, row_floats,
                    memory.q.data() + i * row_floats);
      first_position = std::min(first_position, sequences_[members[i]].n_past);
    }
    const Running running = memory.running();
    const KvSequence& any = sequences_[members.front()];
    const std::uint32_t first_chunk = window_begin(node_.sliding_window, first_position) / kChunk;
    attend_chunks(any, first_chunk, shared.n_chunks * kChunk, task.kv_head, running,
                  [&](std::uint32_t row) { return sequences_[members[row / group]].n_past; });
    for (std::uint32_t i = 0; i < members.size(); ++i) {
      const Running into = shared_running(members[i]);
      copy_rows(running.all, i * group, group, into.all, task.kv_head * group);
      copy_rows(running.group, i * group, group, into.group, task.kv_head * group);
    }
    for (const std::uint32_t member : members) finish(member);
  }

  /// What the group's tasks have made of what a sequence shares.
  Running shared_running(std::uint32_t number) const {
    return {work_.shared.at(2 * number, 1), work_.shared.at(2 * number + 1, 1), node_.heads.n_head, shape_.head_dim};
  }
  void copy_rows(const Partials& from, std::uint32_t row, std::uint32_t n, const Partials& into,
                 std::uint32_t into_row) const {
    const std::size_t head_dim = shape_.head_dim;
    std::copy_n(from.values + row * head_dim, n * head_dim, into.values + into_row * head_dim);
    std::copy_n(from.maximum + row, n, into.maximum + into_row);
    std::copy_n(from.sum + row, n, into.sum + into_row);
  }

  ChunkRows rows_of_piece(const KvSequence& sequence, std::uint32_t chunk) const {
    return rows_of_chunk(sequence, chunk, sequence.n_past + sequence.n_tokens);
  }

  /// A piece's query rows are sorted by KV head, then token.
  void run_chunks(const AttentionTask& task, const AttentionTask* upcoming) const {
    const KvSequence& sequence = sequences_[task.of];
    const ShortPiece& piece = work_.plan.pieces[task.of];
    const std::uint32_t n_tokens = sequence.n_tokens;
    const std::uint32_t group = node_.heads.group();
    const std::uint32_t n_rows = n_tokens * group;  // of a KV head
    const std::size_t row_floats = std::size_t{group} * shape_.head_dim;
    TaskMemory& memory = LayerAttention::memory();
    memory.reset(n_tokens * node_.heads.n_head, shape_.head_dim);
    const float* queried = q_ + work_.plan.first_rows[task.of] * token_floats_;
    for (std::uint32_t head = 0; head < node_.heads.n_head_kv; ++head) {
      for (std::uint32_t i = 0; i < n_tokens; ++i) {
        scale_queries(queried + i * token_floats_ + head * row_floats, row_floats,
                      memory.q.data() + (std::size_t{head} * n_tokens + i) * row_floats);
      }
    }
    ChunkRows rows;
    ChunkRows next = rows_of_piece(sequence, task.begin);
    for (std::uint32_t chunk = task.begin; chunk < task.end; ++chunk) {
      rows = next;
      const bool more = chunk + 1 < task.end;
      bool wanted = more;
      if (more) {
        next = rows_of_piece(sequence, chunk + 1);
      } else if (upcoming != nullptr && upcoming->kind == AttentionTask::Kind::chunks) {
        next = rows_of_piece(sequences_[upcoming->of], upcoming->begin);
        wanted = true;
      }
      for (std::uint32_t r = 0; r < n_rows; ++r) {
        set_visible(sequence.n_past + r / group, chunk, rows.n, memory.first[r], memory.last[r]);
      }
      const std::uint32_t in_group = chunk % kMergeGroup;
      for (std::uint32_t head = 0; head < node_.heads.n_head_kv; ++head) {
        const QueryRows queries{memory.q.data() + std::size_t{head} * n_rows * shape_.head_dim, n_rows,
                                memory.first.data(), memory.last.data()};
        const std::uint32_t row = head * n_rows;
        attend_chunk(rows, wanted ? &next : nullptr, head, shape_, queries, memory.scratch.data(),
                     piece.by_groups ? memory.chunk(in_group, row) : partials_of(task.of, chunk, row));
      }
      if (piece.by_groups && (in_group == kMergeGroup - 1 || !more)) {
        const std::uint32_t from = chunk - std::min(in_group, chunk - task.begin);
        const Partials merged = partials_of(task.of, chunk);
        clear(merged, n_tokens * node_.heads.n_head, shape_.head_dim);
        merge_partials(n_tokens * node_.heads.n_head, shape_.head_dim, memory.chunk(from % kMergeGroup),
                       memory.stride(), chunk + 1 - from, merged);
      }
    }
    finish(task.of);
  }

  /// Those of a piece for a chunk, or for the chunk's group where its tasks merge groups, from a query row on.
  Partials partials_of(std::uint32_t number, std::uint32_t chunk, std::uint32_t row = 0) const {
    const ShortPiece& piece = work_.plan.pieces[number];
    const std::uint32_t n_tokens = sequences_[number].n_tokens;
    const std::uint32_t unit =
        piece.by_groups ? chunk / kMergeGroup - piece.first_chunk / kMergeGroup : chunk - piece.first_chunk;
    return work_.pieces.at(piece.first_partial + unit * n_tokens, n_tokens, row);
  }

  /// One task of a sequence has ended; the last one merges what all have found, in the order of the keys.
  void finish(std::uint32_t number) const {
    if (work_.unfinished[number].fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    const ShortPiece& piece = work_.plan.pieces[number];
    work_.unfinished[number].store(piece.n_tasks, std::memory_order_relaxed);
    const std::uint32_t n_tokens = sequences_[number].n_tokens;
    const std::uint32_t n_rows = n_tokens * node_.heads.n_head;
    TaskMemory& memory = LayerAttention::memory();
    memory.reset(n_rows, shape_.head_dim);
    const Running running = piece.shares ? shared_running(number) : memory.running();
    const std::size_t stride = work_.pieces.stride(n_tokens);
    if (piece.by_groups) {
      running.close_group();
      const std::uint32_t n_groups = (piece.end_chunk - 1) / kMergeGroup - piece.first_chunk / kMergeGroup + 1;
      merge_partials(n_rows, shape_.head_dim, partials_of(number, piece.first_chunk), stride, n_groups, running.all);
    } else {
      for (std::uint32_t chunk = piece.first_chunk; chunk < piece.end_chunk;) {
        const std::uint32_t end = std::min(piece.end_chunk, chunk - chunk % kMergeGroup + kMergeGroup);
        running.add(chunk, partials_of(number, chunk), stride, end - chunk);
        chunk = end;
      }
      running.close_group();
    }
    const std::uint32_t group = node_.heads.group();
    float* into = out_ + work_.plan.first_rows[number] * token_floats_;
    for (std::uint32_t head = 0; head < node_.heads.n_head_kv; ++head) {
      for (std::uint32_t i = 0; i < n_tokens; ++i) {
        write_results(running.all, (head * n_tokens + i) * group, group,
                      into + i * token_floats_ + std::size_t{head} * group * shape_.head_dim);
      }
    }
  }

  const AttentionNode& node_;
  const HeadShape shape_;
  const std::span<const KvSequence> sequences_;
  KvState::Work& work_;
  const float* q_;
  float* out_;
  const std::size_t token_floats_;
};

void run_attention(ggml_tensor* result, int, int n_threads, void* data) {
  const AttentionNode& node = *static_cast<const AttentionNode*>(data);
  LayerAttention(node, static_cast<const float*>(result->src[0]->data), static_cast<float*>(result->data))
      .run(static_cast<std::uint32_t>(n_threads));
}

const float* token_of(const ggml_tensor* rows, std::uint32_t token) {
  return reinterpret_cast<const float*>(static_cast<const std::byte*>(rows->data) + token * rows->nb[2]);
}

void run_store(ggml_tensor* result, int thread, int n_threads, void* data) {
  const AttentionNode& node = *static_cast<const AttentionNode*>(data);
  const ggml_tensor* k = result->src[0];
  const ggml_tensor* v = result->src[1];
  const std::int64_t elements = k->ne[0] * k->ne[1];
  const auto n = static_cast<std::uint32_t>(k->ne[2]);
  const std::uint32_t begin = n * static_cast<std::uint32_t>(thread) / static_cast<std::uint32_t>(n_threads);
  const std::uint32_t end = n * static_cast<std::uint32_t>(thread + 1) / static_cast<std::uint32_t>(n_threads);
  std::uint32_t first = 0;
  for (const KvSequence& sequence : node.state->sequences) {
    const ggml_from_float_t convert = ggml_get_type_traits_cpu(sequence.type)->from_float;
    const std::size_t layer_offset = std::size_t{2} * sequence.row_bytes * node.layer;
    for (std::uint32_t i = std::max(begin, first); i < std::min(end, first + sequence.n_tokens); ++i) {
      std::byte* into = sequence.pass + (i - first) * sequence.token_stride + layer_offset;
      convert(token_of(k, i), into, elements);
      convert(token_of(v, i), into + sequence.row_bytes, elements);
    }
    first += sequence.n_tokens;
  }
}

}  // namespace

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
  const AttentionHeads& heads = node->heads;
  DW_CHECK(q->type == GGML_TYPE_F32 && ggml_is_contiguous(q));
  DW_CHECK(q->ne[0] == heads.head_dim && q->ne[1] == heads.n_head && heads.n_head % heads.n_head_kv == 0);
  DW_CHECK(heads.head_dim % 32 == 0 && heads.head_dim <= kMaxHeadDim);
  std::array<ggml_tensor*, 2> sources = {q, after};
  return ggml_custom_4d(context, GGML_TYPE_F32, q->ne[0] * q->ne[1], q->ne[2], 1, 1, sources.data(),
                        static_cast<int>(sources.size()), run_attention, GGML_N_TASKS_MAX, node);
}

}  // namespace driftwood::cpu
