// The inner loops of products with packed weights, and the row operators that
// prepare their right side; compiled for each vector unit, picked at run time.
//
// Every result is computed in the same order however many tokens there are and
// whatever the number of threads, so a token's bits do not depend on its batch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cpu/packed_matrix.hpp"

namespace driftwood::cpu {

/// A token's activations in blocks of 32: signed bytes, and for each block its scale, scale * sum and
/// sum. Rounded as ggml's q8_1 and q8_0 are, so that products agree with ggml's.
///   bytes [columns] | scale f32 [blocks] | scaled sum f32 [blocks] | sum i32 [blocks]
struct ActivationRow {
  std::byte* data;
  std::uint32_t columns;

  static std::size_t bytes(std::uint32_t columns) noexcept { return columns + std::size_t{3} * 4 * (columns / kBlock); }
  std::int8_t* quants() const noexcept { return reinterpret_cast<std::int8_t*>(data); }
  float* scales() const noexcept { return reinterpret_cast<float*>(data + columns); }
  float* scaled_sums() const noexcept { return scales() + columns / kBlock; }
  std::int32_t* sums() const noexcept { return reinterpret_cast<std::int32_t*>(scaled_sums() + columns / kBlock); }
};

/// into = quantized x; columns are a multiple of 32.
void quantize_row(const float* x, ActivationRow into);
/// out[i] = x[i] / sqrt(mean(x^2) + epsilon) * weight[i].
void rms_norm_row(const float* x, const float* weight, float epsilon, std::uint32_t n, float* out);
/// out[i] = silu(gate[i]) * up[i].
void silu_gate_row(const float* gate, const float* up, std::uint32_t n, float* out);

/// For `n_tokens` activation rows that lie `token_bytes` apart, the products with one row tile:
/// out[token * out_stride + row] = w[row] . x[token] + add[token * add_stride + row], for `n_rows` <= 16
/// rows; `add` may be null.
struct ProductArgs {
  const std::byte* tiles;
  TileFormat format;
  std::uint32_t columns;
  std::uint32_t n_rows;
  const std::byte* activations;
  std::size_t token_bytes;
  std::uint32_t n_tokens;
  float* out;
  std::size_t out_stride;
  const float* add;
  std::size_t add_stride;
};
void multiply_row_tile(const ProductArgs& args);

}  // namespace driftwood::cpu
