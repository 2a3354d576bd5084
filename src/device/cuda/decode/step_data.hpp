// What the kernels of one decoding step share: the model as they see it, and the memory they work in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cuda/decode/packed_layout.hpp"
#include "device/cuda/top_k.hpp"

namespace driftwood::cuda {

inline constexpr int kMaxRows = 64;          ///< sequences in a step, one token each
inline constexpr int kAttentionChunk = 128;  ///< tokens, at fixed places: a result does not depend on the batch

/// One sequence of a step.
struct StepRow {
  std::int32_t token = 0;
  std::int32_t n_past = 0;          ///< tokens before this one
  std::uint8_t* records = nullptr;  ///< device address of the first token's KV record
  std::uint8_t* copy = nullptr;     ///< where this token's record goes besides; null: nowhere
};

struct StepLayer {
  PackedTiles qkv;  ///< q heads, k heads, v heads; the rows of a rope's pairs one after the other
  PackedTiles attention_output;
  PackedTiles gate_up;  ///< rows of gate and up in turn
  PackedTiles down;
  const float* ffn_norm = nullptr;
  const float* next_norm = nullptr;  ///< of the next layer's attention, or before the head
  std::uint32_t record_offset = 0;   ///< bytes from a record to this layer's K row
};

struct StepModel {
  int n_embd = 0;
  int n_ff = 0;
  int n_head = 0;
  int n_head_kv = 0;
  int head_dim = 0;
  int n_vocab = 0;
  int rope_dims = 0;
  bool rope_neox = false;                   ///< pairs are i and i + rope_dims / 2, else 2i and 2i + 1
  float rope_scale = 1;                     ///< of the position
  float rope_magnitude = 1;                 ///< of the rotated
  const float* rope_frequencies = nullptr;  ///< rope_dims / 2 of them
  float epsilon = 0;
  float attention_scale = 1;
  float embedding_scale = 1;
  std::uint32_t row_bytes = 0;     ///< of a K row; the V row follows
  std::uint32_t token_stride = 0;  ///< bytes from record to record
  PackedTiles embedding;
  PackedTiles head;
  const float* first_norm = nullptr;
};

/// Columns of activations as the products read them.
DW_HOST_DEVICE constexpr int padded(int columns) {
  return (columns + kGroupColumns - 1) / kGroupColumns * kGroupColumns;
}

/// Memory of a step, for at most kMaxRows rows. Activations beyond their columns are zero and stay so.
struct StepMemory {
  const StepRow* input = nullptr;     ///< written by the host, read over the bus
  StepRow* rows = nullptr;            ///< the same in the device's memory
  float* residual = nullptr;          ///< [row][n_embd]
  std::uint16_t* normed = nullptr;    ///< [row][padded(n_embd)]: residual times the next norm's weight
  float* squares = nullptr;           ///< [row][n_embd / 16]: sums of the residual's squares, tile by tile
  float* q = nullptr;                 ///< [row][n_head * head_dim]
  std::uint16_t* attended = nullptr;  ///< [row][padded(n_head * head_dim)]
  std::uint16_t* gated = nullptr;     ///< [row][padded(n_ff)]
  float* partial = nullptr;           ///< [row][kv head][chunk][group * (head_dim + 2)]
  unsigned* arrived = nullptr;        ///< [row][kv head], zero between steps
  float* logits = nullptr;            ///< [row][n_vocab]
};

/// What a recorded step depends on.
struct StepShape {
  int n_rows = 1;      ///< 1 to kMaxRows
  int max_chunks = 1;  ///< of attention, in the longest sequence
  int top_k = 0;       ///< 0: logits alone
};

struct StepOutput {
  TopKKey* keys = nullptr;    ///< scratch: [row][slice][top_k]
  TopKEntry* best = nullptr;  ///< [row][top_k], where the host reads
};

}  // namespace driftwood::cuda
