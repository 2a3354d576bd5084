// Products with packed weights as ggml operators, and the row operators before them.
//
// The right side of a product is quantized once, by the operator that makes it
// (norm, gate, or plain quantize), and shared by all products that read it.
// Results do not depend on the number of threads nor on how many tokens a pass has.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <vector>

#include "device/cpu/packed_matrix.hpp"
#include "device/cpu/work_parts.hpp"

namespace driftwood::cpu {

/// One of the operators that make activations; lives as long as the graph.
struct RowNode {
  Crew* crew = nullptr;   ///< helps with many rows in graphs that one thread runs; may be null. Borrowed.
  float epsilon = 1e-5F;  ///< of a norm
};

/// Quantized activations [n tokens] of `columns`: a ggml tensor of bytes that only matmul() reads.
ggml_tensor* quantize(ggml_context* context, ggml_tensor* x, RowNode* node);

/// quantize(rms_norm(x) * weight) in one pass; x f32 [columns, n], weight f32 [columns].
ggml_tensor* rms_norm_quantize(ggml_context* context, ggml_tensor* x, ggml_tensor* weight, RowNode* node);

/// quantize(silu(gate) * up) in one pass; gate and up f32 [columns, n].
ggml_tensor* silu_gate_quantize(ggml_context* context, ggml_tensor* gate, ggml_tensor* up, RowNode* node);

/// A product with one or several matrices of equal columns, their results one after another.
/// Lives as long as the graph; the matrices are borrowed.
struct MatmulNode {
  explicit MatmulNode(Crew* crew = nullptr) noexcept : work(crew) {}

  std::vector<const PackedMatrix*> weights;
  WorkParts work;

  std::uint32_t rows() const noexcept;
};
/// f32 [sum of rows, n] = weights x activations (+ add, f32 of the same shape, where not null).
ggml_tensor* matmul(ggml_context* context, ggml_tensor* activations, MatmulNode* node, ggml_tensor* add = nullptr);

}  // namespace driftwood::cpu
