#include "device/cpu/attention_plan.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <tuple>

#include "device/cpu/attention_kernels.hpp"

namespace driftwood::cpu {
namespace {

constexpr std::uint32_t kTileTokens = 32;  // most query tokens of a tile
constexpr std::uint32_t kLeastTileTokens = 8;
constexpr std::uint32_t kMostMembers = 32;  // most sequences of a shared task
constexpr std::uint32_t kLeastMembers = 4;
constexpr std::uint32_t kMostChunks = 8;  // of one task
constexpr std::uint32_t kTasksPerThread = 4;

std::uint32_t divided(std::uint32_t a, std::uint32_t b) noexcept { return (a + b - 1) / b; }

/// What decides whether two sequences begin with the same bytes.
auto beginning(const KvSequence& sequence) {
  const KvSpan& first = sequence.spans.front();
  return std::tuple(first.tokens, sequence.type, sequence.token_stride, sequence.row_bytes);
}

/// Tokens from the first on that lie at the same addresses; where spans are cut otherwise, fewer.
std::uint32_t common_tokens(const KvSequence& a, const KvSequence& b) {
  std::uint32_t tokens = 0;
  for (std::size_t i = 0; i < std::min(a.spans.size(), b.spans.size()); ++i) {
    if (a.spans[i].tokens != b.spans[i].tokens) break;
    tokens += std::min(a.spans[i].n_tokens, b.spans[i].n_tokens);
    if (a.spans[i].n_tokens != b.spans[i].n_tokens) break;
  }
  return std::min({tokens, a.n_past, b.n_past});
}

class Planner {
 public:
  Planner(std::span<const KvSequence> sequences, const AttentionHeads& heads, std::uint32_t window,
          std::uint32_t threads)
      : sequences_(sequences), heads_(heads), window_(window), threads_(threads) {}

  AttentionPlan make() {
    plan_.pieces.resize(sequences_.size());
    std::uint32_t row = 0;
    for (const KvSequence& sequence : sequences_) {
      plan_.first_rows.push_back(row);
      row += sequence.n_tokens;
    }
    find_groups();
    for (std::uint32_t i = 0; i < plan_.groups.size(); ++i) add_shared(i);
    for (std::uint32_t i = 0; i < sequences_.size(); ++i) {
      if (sequences_[i].n_tokens > kShortPiece) add_tiles(i);
    }
    add_pieces();
    std::ranges::stable_sort(plan_.tasks, std::greater<>(), &AttentionTask::cost);
    return std::move(plan_);
  }

 private:
  void find_groups() {
    std::vector<std::uint32_t> order(sequences_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::erase_if(order, [&](std::uint32_t i) { return sequences_[i].n_tokens != 1 || sequences_[i].n_past < kChunk; });
    std::ranges::stable_sort(order, {}, [&](std::uint32_t i) { return beginning(sequences_[i]); });
    for (auto begin = order.begin(); begin != order.end();) {
      const auto end = std::find_if(begin, order.end(), [&](std::uint32_t i) {
        return beginning(sequences_[i]) != beginning(sequences_[*begin]);
      });
      add_group({begin, end});
      begin = end;
    }
  }

  /// A group of those among `alike`, which have the same first token, that share about as much as most can.
  void add_group(std::span<std::uint32_t> alike) {
    if (alike.size() < 2) return;
    const std::uint32_t longest = *std::ranges::max_element(
        alike, {}, [&](std::uint32_t i) { return common_tokens(sequences_[i], sequences_[i]); });
    std::vector<std::uint32_t> common;
    for (const std::uint32_t i : alike) {
      if (i != longest) common.push_back(common_tokens(sequences_[longest], sequences_[i]));
    }
    const std::uint32_t most = *std::ranges::max_element(common);
    SharedGroup shared;
    std::uint32_t tokens = most;
    for (const std::uint32_t i : alike) {
      const std::uint32_t has = i == longest ? most : common_tokens(sequences_[longest], sequences_[i]);
      if (has < most / 2) continue;
      shared.members.push_back(i);
      tokens = std::min(tokens, has);
    }
    shared.n_chunks = tokens / kChunk;
    if (shared.n_chunks != 0) plan_.groups.push_back(std::move(shared));
  }

  void add_shared(std::uint32_t number) {
    const SharedGroup& shared = plan_.groups[number];
    const auto n = static_cast<std::uint32_t>(shared.members.size());
    const std::uint32_t members =
        std::clamp(divided(n * heads_.n_head_kv, kTasksPerThread * threads_), kLeastMembers, kMostMembers);
    for (std::uint32_t begin = 0; begin < n; begin += members) {
      const std::uint32_t end = std::min(n, begin + members);
      for (std::uint32_t head = 0; head < heads_.n_head_kv; ++head) {
        const std::uint64_t rows = std::uint64_t{end - begin} * heads_.group();
        plan_.tasks.push_back({AttentionTask::Kind::shared, number, head, begin, end, rows * shared.n_chunks * kChunk});
      }
    }
    for (const std::uint32_t member : shared.members) {
      plan_.pieces[member].shares = true;
      plan_.pieces[member].first_chunk = shared.n_chunks;
      plan_.pieces[member].n_tasks = heads_.n_head_kv;
    }
  }

  void add_tiles(std::uint32_t number) {
    const KvSequence& sequence = sequences_[number];
    const std::uint32_t tokens = std::clamp(divided(sequence.n_tokens * heads_.n_head_kv, kTasksPerThread * threads_),
                                            kLeastTileTokens, kTileTokens);
    for (std::uint32_t begin = 0; begin < sequence.n_tokens; begin += tokens) {
      const std::uint32_t end = std::min(sequence.n_tokens, begin + tokens);
      const std::uint32_t last = sequence.n_past + end;
      const std::uint64_t keys = last - window_begin(window_, sequence.n_past + begin);
      for (std::uint32_t head = 0; head < heads_.n_head_kv; ++head) {
        plan_.tasks.push_back(
            {AttentionTask::Kind::tile, number, head, begin, end, keys * (end - begin) * heads_.group()});
      }
    }
  }

  void add_pieces() {
    std::uint32_t all = 0;
    for (std::uint32_t i = 0; i < sequences_.size(); ++i) {
      const KvSequence& sequence = sequences_[i];
      if (sequence.n_tokens > kShortPiece) continue;
      ShortPiece& piece = plan_.pieces[i];
      piece.end_chunk = (sequence.n_past + sequence.n_tokens - 1) / kChunk + 1;
      piece.first_chunk = std::max(piece.first_chunk, window_begin(window_, sequence.n_past) / kChunk);
      all += piece.end_chunk - piece.first_chunk;
    }
    std::uint32_t chunks = std::clamp(divided(all, kTasksPerThread * threads_), 1U, kMostChunks);
    if (chunks > kMergeGroup) chunks -= chunks % kMergeGroup;
    for (std::uint32_t i = 0; i < sequences_.size(); ++i) {
      if (sequences_[i].n_tokens <= kShortPiece) add_piece(i, chunks);
    }
  }

  /// Tasks of `chunks` chunks.
  void add_piece(std::uint32_t number, std::uint32_t chunks) {
    const std::uint32_t n_tokens = sequences_[number].n_tokens;
    ShortPiece& piece = plan_.pieces[number];
    // What a shared task has begun, no other task can go on with.
    piece.by_groups = chunks % kMergeGroup == 0 && !(piece.shares && piece.first_chunk % kMergeGroup != 0);
    piece.first_partial = plan_.n_partials;
    std::uint32_t begin = piece.first_chunk;
    while (begin < piece.end_chunk) {
      const std::uint32_t from = piece.by_groups ? begin - begin % kMergeGroup : begin;
      const std::uint32_t end = std::min(piece.end_chunk, from + chunks);
      const std::uint64_t rows = std::uint64_t{n_tokens} * heads_.n_head;
      plan_.tasks.push_back({AttentionTask::Kind::chunks, number, 0, begin, end, rows * (end - begin) * kChunk});
      plan_.n_partials += n_tokens * (piece.by_groups ? divided(end - from, kMergeGroup) : end - begin);
      ++piece.n_tasks;
      begin = end;
    }
  }

  std::span<const KvSequence> sequences_;
  const AttentionHeads& heads_;
  std::uint32_t window_;
  std::uint32_t threads_;
  AttentionPlan plan_;
};

}  // namespace

AttentionPlan plan_attention(std::span<const KvSequence> sequences, const AttentionHeads& heads, std::uint32_t window,
                             std::uint32_t threads) {
  return Planner(sequences, heads, window, threads).make();
}

}  // namespace driftwood::cpu
