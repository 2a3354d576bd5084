// A device's own way to decode: one token for each of several sequences, all of a pass in a few kernels.
//
// Optional: a device that has none refuses to make one, and graphs do the same work. A
// Decoder reads KV records where the caller says they lie (device addresses), appends
// one to each sequence there, and gives the host a copy of what it appended. It keeps
// weights in a form of its own beside the model's. One thread at a time.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/error.hpp"

namespace driftwood {

/// Weights as the model has them: GGUF's types and shapes, in any backend's memory. Borrowed while a decoder is made.
struct DecoderLayer {
  const ggml_tensor* attn_norm = nullptr;
  const ggml_tensor* q = nullptr;
  const ggml_tensor* k = nullptr;
  const ggml_tensor* v = nullptr;
  const ggml_tensor* attn_output = nullptr;
  const ggml_tensor* ffn_norm = nullptr;
  const ggml_tensor* gate = nullptr;
  const ggml_tensor* up = nullptr;
  const ggml_tensor* down = nullptr;
};

/// A transformer of the llama family: norms by root mean square before each block, rope, silu, no biases.
struct DecoderModel {
  std::uint32_t n_vocab = 0;
  std::uint32_t n_embd = 0;
  std::uint32_t n_ff = 0;
  std::uint32_t n_head = 0;
  std::uint32_t n_head_kv = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t rope_dims = 0;
  bool rope_neox = false;               ///< pairs are i and i + rope_dims / 2, else 2i and 2i + 1
  float rope_scale = 1;                 ///< of positions
  float rope_magnitude = 1;             ///< of what was turned
  std::vector<float> rope_frequencies;  ///< radians a position, rope_dims / 2 of them
  float norm_epsilon = 0;
  float attention_scale = 1;
  float embedding_scale = 1;
  const ggml_tensor* token_embd = nullptr;
  const ggml_tensor* output_norm = nullptr;
  const ggml_tensor* output = nullptr;
  std::vector<DecoderLayer> layers;
  std::uint32_t row_bytes = 0;     ///< of one layer's K row in a record, f16; its V row follows it
  std::uint32_t token_stride = 0;  ///< bytes from record to record
};

class Decoder {
 public:
  struct Row {
    std::int32_t token = 0;        ///< in the vocabulary
    std::uint32_t n_past = 0;      ///< records before it
    std::byte* records = nullptr;  ///< device address of the sequence's first record
  };
  struct Best {
    std::int32_t token;
    float logit;
  };

  virtual ~Decoder() = default;

  virtual std::uint32_t max_rows() const noexcept = 0;
  virtual std::uint32_t max_top_k() const noexcept = 0;
  /// Bytes of the device's memory that it holds.
  virtual std::uint64_t bytes() const noexcept = 0;

  /// One pass. `top_k` 0: logits are left on the device. `meanwhile` is called once, on the caller's thread, while the
  /// device computes. A row's result does not depend on the other rows.
  virtual Result<void> run(std::span<const Row> rows, std::uint32_t top_k, const std::function<void()>& meanwhile) = 0;

  // Of the last run, until the next.

  /// The record that was appended to row `row`, in the host's memory.
  virtual std::span<const std::byte> record(std::size_t row) const = 0;
  /// The largest logits in falling order, equal ones by the lower token.
  virtual std::span<const Best> best(std::size_t row) const = 0;
  /// Copies a row's logits to the host.
  virtual Result<void> logits(std::size_t row, std::span<float> out) = 0;
};

}  // namespace driftwood
