// The inner loops of products with packed weights, compiled for each vector unit
// and picked at run time.
//
// Every result is computed in the same order however many tokens there are and
// whatever the number of threads, so a token's bits do not depend on its batch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cpu/packed_matrix.hpp"
#include "device/cpu/row_kernels.hpp"

namespace driftwood::cpu {

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
  bool vnni = true;  ///< false: as on a processor without it; the bits are the same
};
void multiply_row_tile(const ProductArgs& args);

}  // namespace driftwood::cpu
