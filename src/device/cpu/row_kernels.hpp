// The row operators that prepare the right side of products with packed weights,
// compiled for each vector unit and picked at run time.
//
// A row's result does not depend on which other rows there are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cpu/packed_matrix.hpp"

namespace driftwood::cpu {

/// A token's activations in blocks of 32: signed bytes, and for each block its scale, scale * sum and the
/// sums of its halves. Rounded as ggml's q8_1 and q8_0 are, so that products agree with ggml's.
///   bytes [columns] | scale f32 [blocks] | scaled sum f32 [blocks] | sums i32 [blocks][2]
struct ActivationRow {
  std::byte* data;
  std::uint32_t columns;

  static std::size_t bytes(std::uint32_t columns) noexcept { return columns + std::size_t{4} * 4 * (columns / kBlock); }
  std::int8_t* quants() const noexcept { return reinterpret_cast<std::int8_t*>(data); }
  float* scales() const noexcept { return reinterpret_cast<float*>(data + columns); }
  float* scaled_sums() const noexcept { return scales() + columns / kBlock; }
  std::int32_t* half_sums() const noexcept { return reinterpret_cast<std::int32_t*>(scaled_sums() + columns / kBlock); }
};

/// into = quantized x; columns are a multiple of 32.
void quantize_row(const float* x, ActivationRow into);
/// out[i] = x[i] / sqrt(mean(x^2) + epsilon) * weight[i].
void rms_norm_row(const float* x, const float* weight, float epsilon, std::uint32_t n, float* out);
/// out[i] = silu(gate[i]) * up[i].
void silu_gate_row(const float* gate, const float* up, std::uint32_t n, float* out);

}  // namespace driftwood::cpu
