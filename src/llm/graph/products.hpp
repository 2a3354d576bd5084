// Products of weights with activations, and the row operators whose results they read.
//
// Three ways: ggml's products over the weights as they lie in the file; the CPU's own
// over packed ones, which share one quantization of their activations and run as one
// operator where they read the same ones; and row by row, where the bits must not depend
// on the batch and a type has no packed form. An object belongs to one graph, whose nodes
// it holds. One thread at a time.
#pragma once

#include <ggml.h>

#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "device/cpu/matmul.hpp"
#include "device/cpu/row_matmul.hpp"
#include "llm/graph/packed_weights.hpp"
#include "model/hyperparameters.hpp"

namespace driftwood {

/// The right side of products, [columns, n]: made when the first product reads it, in the form that this one needs.
/// For the length of one build.
class Activations {
 private:
  friend class Products;
  enum class Kind { rows, normed, gated };

  Activations(Kind kind, ggml_tensor* first, ggml_tensor* second) : kind_(kind), first_(first), second_(second) {}

  Kind kind_;
  ggml_tensor* first_;   ///< the rows, or the gate
  ggml_tensor* second_;  ///< the norm's weight, or what is gated
  ggml_tensor* f32_ = nullptr;
  ggml_tensor* quantized_ = nullptr;
  ggml_tensor* bf16_ = nullptr;
  std::vector<std::pair<ggml_type, ggml_tensor*>> converted_;  ///< for weights of a type, row by row
};

class Products {
 public:
  /// `packed` null: ggml's products. `crew`, which may be null, helps with the CPU's own. All must outlive the graph.
  /// From `bf16_from` rows of activations on (0: never), ggml's products with quantized weights are made in bf16.
  Products(const Hyperparameters& model, const PackedWeights* packed, std::uint32_t bf16_from, Crew* crew)
      : model_(&model), packed_(packed), bf16_from_(bf16_from), crew_(crew) {}

  /// The rows as they are: f32 [columns, n].
  Activations rows(ggml_tensor* x) const { return {Activations::Kind::rows, x, nullptr}; }
  /// The rows over their root mean square, times `weight`.
  Activations normed(ggml_tensor* x, ggml_tensor* weight) const { return {Activations::Kind::normed, x, weight}; }
  /// The model's activation of `gate`, times `up`: both f32 [columns, n].
  Activations gated(ggml_tensor* gate, ggml_tensor* up) const { return {Activations::Kind::gated, gate, up}; }

  /// weight x activations (+ add): f32 [rows, n].
  ggml_tensor* product(ggml_context* context, Activations& activations, ggml_tensor* weight,
                       ggml_tensor* add = nullptr);
  /// One product for each weight; the results' rows may lie further apart than they are long.
  std::vector<ggml_tensor*> products(ggml_context* context, Activations& activations,
                                     std::span<ggml_tensor* const> weights);

 private:
  ggml_tensor* f32(ggml_context* context, Activations& activations);
  ggml_tensor* quantized(ggml_context* context, Activations& activations);
  ggml_tensor* converted(ggml_context* context, Activations& activations, ggml_type weight);
  /// ggml's own product.
  ggml_tensor* plain(ggml_context* context, Activations& activations, ggml_tensor* weight);
  /// A node for all of `weights`, or null when one of them is not packed.
  cpu::MatmulNode* packed_node(std::span<ggml_tensor* const> weights);

  const Hyperparameters* model_;
  const PackedWeights* packed_;
  std::uint32_t bf16_from_;
  Crew* crew_;
  std::deque<cpu::MatmulNode> matmuls_;  // the graph holds their addresses
  std::deque<cpu::RowMatmulNode> row_matmuls_;
  std::deque<cpu::RowNode> rows_;
};

}  // namespace driftwood
