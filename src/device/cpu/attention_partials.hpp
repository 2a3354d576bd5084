// Partial results of attention within a pass: where they lie, and how those of chunks add up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device/cpu/attention_kernels.hpp"
#include "device/cpu/attention_plan.hpp"

namespace driftwood::cpu {

/// Results of all query heads of tokens. Those of a piece's tokens for a chunk lie together.
class PartialStore {
 public:
  void resize(const AttentionHeads& heads, std::uint32_t n_tokens) {
    heads_ = heads;
    const std::size_t size = stride(n_tokens);
    if (floats_.size() < size) floats_.resize(size);
  }
  /// Those of `n_tokens` that begin with token `number`, from a query row on.
  Partials at(std::uint32_t number, std::uint32_t n_tokens, std::uint32_t row = 0) {
    return partials_at(floats_.data() + stride(number), rows(n_tokens), heads_.head_dim, row);
  }

  /// Floats of so many tokens.
  std::size_t stride(std::uint32_t n_tokens) const { return partial_floats(rows(n_tokens), heads_.head_dim); }

 private:
  std::size_t rows(std::uint32_t n_tokens) const { return std::size_t{n_tokens} * heads_.n_head; }

  AttentionHeads heads_;
  std::vector<float> floats_;
};

/// Makes the partials those of rows that have seen nothing.
inline void clear(const Partials& partials, std::uint32_t n_rows, std::uint32_t head_dim) {
  std::fill_n(partials.values, std::size_t{n_rows} * head_dim, 0.0F);
  std::fill_n(partials.maximum, n_rows, 0.0F);
  std::fill_n(partials.sum, n_rows, 0.0F);
}

/// What chunks that come in order add up to: all groups of kMergeGroup chunks that are whole, and the one after them.
struct Running {
  Partials all;
  Partials group;
  std::uint32_t n_rows;
  std::uint32_t head_dim;

  /// Adds the partials of `n` chunks from `chunk` on, which lie within a group.
  void add(std::uint32_t chunk, const Partials& from, std::size_t stride, std::uint32_t n) const {
    if (chunk % kMergeGroup == 0) close_group();
    merge_partials(n_rows, head_dim, from, stride, n, group);
  }
  void close_group() const {
    merge_partials(n_rows, head_dim, group, 0, 1, all);
    clear(group, n_rows, head_dim);
  }
};

/// The memory of one task, kept by each thread.
class TaskMemory {
 public:
  std::vector<float> q, scratch;
  std::vector<std::uint32_t> first, last;

  /// Room for `n_rows` query rows that run with empty results.
  void reset(std::uint32_t n_rows, std::uint32_t head_dim) {
    n_rows_ = n_rows;
    head_dim_ = head_dim;
    q.resize(std::size_t{n_rows} * head_dim);
    scratch.resize(chunk_scratch_floats(n_rows, head_dim));
    first.resize(n_rows);
    last.resize(n_rows);
    partials_.resize((kChunks + kMergeGroup) * stride());
    for (const std::uint32_t number : {kAll, kGroup}) clear(partials(number), n_rows, head_dim);
  }
  Running running() { return {partials(kAll), partials(kGroup), n_rows_, head_dim_}; }
  /// Of one of kMergeGroup chunks, from a query row on.
  Partials chunk(std::uint32_t number, std::uint32_t row = 0) { return partials(kChunks + number, row); }
  /// Floats from one chunk's partials to the next one's.
  std::size_t stride() const { return partial_floats(n_rows_, head_dim_); }

 private:
  static constexpr std::uint32_t kAll = 0, kGroup = 1, kChunks = 2;

  Partials partials(std::uint32_t number, std::uint32_t row = 0) {
    return partials_at(partials_.data() + number * stride(), n_rows_, head_dim_, row);
  }

  std::uint32_t n_rows_ = 0;
  std::uint32_t head_dim_ = 0;
  std::vector<float> partials_;
};

}  // namespace driftwood::cpu
