#include "llm/graph/products.hpp"

#include <algorithm>

namespace driftwood {

ggml_tensor* Products::f32(ggml_context* context, Activations& activations) {
  ggml_tensor*& made = activations.f32_;
  if (made != nullptr) return made;
  ggml_tensor* first = activations.first_;
  ggml_tensor* second = activations.second_;
  switch (activations.kind_) {
    case Activations::Kind::rows: made = first; break;
    case Activations::Kind::normed:
      // The CPU runs these two as one pass when nothing stands between them.
      made = ggml_mul(context, ggml_rms_norm(context, first, model_->norm_epsilon), second);
      break;
    case Activations::Kind::gated:
      made = model_->activation == Activation::silu ? ggml_swiglu_split(context, first, second)
                                                    : ggml_geglu_split(context, first, second);
      break;
  }
  return made;
}

ggml_tensor* Products::quantized(ggml_context* context, Activations& activations) {
  ggml_tensor*& made = activations.quantized_;
  if (made != nullptr) return made;
  cpu::RowNode* node = &rows_.emplace_back(cpu::RowNode{.crew = crew_, .epsilon = model_->norm_epsilon});
  const bool has_f32 = activations.f32_ != nullptr;
  if (!has_f32 && activations.kind_ == Activations::Kind::normed) {
    made = cpu::rms_norm_quantize(context, activations.first_, activations.second_, node);
  } else if (!has_f32 && activations.kind_ == Activations::Kind::gated && model_->activation == Activation::silu) {
    made = cpu::silu_gate_quantize(context, activations.first_, activations.second_, node);
  } else {
    made = cpu::quantize(context, f32(context, activations), node);
  }
  return made;
}

ggml_tensor* Products::converted(ggml_context* context, Activations& activations, ggml_type weight) {
  const auto made = std::ranges::find(activations.converted_, weight, &std::pair<ggml_type, ggml_tensor*>::first);
  if (made != activations.converted_.end()) return made->second;
  activations.converted_.emplace_back(weight, cpu::convert_for(context, f32(context, activations), weight));
  return activations.converted_.back().second;
}

cpu::MatmulNode* Products::packed_node(std::span<ggml_tensor* const> weights) {
  if (packed_ == nullptr) return nullptr;
  const auto is_packed = [this](const ggml_tensor* weight) { return packed_->find(weight) != nullptr; };
  if (!std::ranges::all_of(weights, is_packed)) return nullptr;
  cpu::MatmulNode& node = matmuls_.emplace_back(crew_);
  for (const ggml_tensor* weight : weights) node.weights.push_back(packed_->find(weight));
  return &node;
}

ggml_tensor* Products::plain(ggml_context* context, Activations& activations, ggml_tensor* weight) {
  ggml_tensor* x = f32(context, activations);
  if (bf16_from_ == 0 || x->ne[1] < bf16_from_ || !ggml_is_quantized(weight->type)) {
    return ggml_mul_mat(context, weight, x);
  }
  if (activations.bf16_ == nullptr) activations.bf16_ = ggml_cast(context, x, GGML_TYPE_BF16);
  ggml_tensor* result = ggml_mul_mat(context, weight, activations.bf16_);
  ggml_prec_set_acc(result, GGML_PREC_BF16);
  return result;
}

ggml_tensor* Products::product(ggml_context* context, Activations& activations, ggml_tensor* weight, ggml_tensor* add) {
  if (cpu::MatmulNode* node = packed_node({&weight, 1})) {
    return cpu::matmul(context, quantized(context, activations), node, add);
  }
  ggml_tensor* result = packed_ != nullptr && packed_->others() == UnpackedProducts::row_by_row
                            ? cpu::row_matmul(context, weight, converted(context, activations, weight->type),
                                              &row_matmuls_.emplace_back(crew_))
                            : plain(context, activations, weight);
  return add == nullptr ? result : ggml_add(context, result, add);
}

std::vector<ggml_tensor*> Products::products(ggml_context* context, Activations& activations,
                                             std::span<ggml_tensor* const> weights) {
  std::vector<ggml_tensor*> results;
  cpu::MatmulNode* node = packed_node(weights);
  if (node == nullptr) {
    for (ggml_tensor* weight : weights) results.push_back(product(context, activations, weight));
    return results;
  }
  ggml_tensor* joint = cpu::matmul(context, quantized(context, activations), node);
  std::size_t offset = 0;
  for (const ggml_tensor* weight : weights) {
    results.push_back(ggml_view_2d(context, joint, weight->ne[1], joint->ne[1], joint->nb[1], offset));
    offset += static_cast<std::size_t>(weight->ne[1]) * sizeof(float);
  }
  return results;
}

}  // namespace driftwood
