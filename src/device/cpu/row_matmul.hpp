// Products row by row with ggml's dot products, over weights as they lie in the file: for types without a packed form,
// where a token's bits must not depend on its batch. ggml's own operator picks its kernel by the number of tokens.
#pragma once

#include <ggml.h>

#include "device/cpu/work_parts.hpp"

namespace driftwood::cpu {

/// The rows of x (f32 [columns, n]) as products with weights of `type` read them; a ggml tensor of bytes.
ggml_tensor* convert_for(ggml_context* context, ggml_tensor* x, ggml_type type);

/// One product of a graph; lives as long as the graph.
struct RowMatmulNode {
  explicit RowMatmulNode(Crew* crew = nullptr) noexcept : work(crew) {}

  WorkParts work;
};
/// f32 [rows, n] = weight x activations, which are convert_for's of the weight's type.
ggml_tensor* row_matmul(ggml_context* context, ggml_tensor* weight, ggml_tensor* activations, RowMatmulNode* node);

}  // namespace driftwood::cpu
