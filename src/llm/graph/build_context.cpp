#include "llm/graph/build_context.hpp"

#include <fmt/format.h>

namespace driftwood {

void may_end_part(const BuildContext& build, std::initializer_list<ggml_tensor*> tensors) {
  if (build.cut_layers == nullptr) return;
  for (ggml_tensor* tensor : tensors) ggml_build_forward_expand(build.nodes, tensor);
  build.cut_layers->cut(build.nodes);
}

ggml_tensor* weight_of(const BuildContext& build, std::uint32_t layer, std::string_view name) {
  return build.model->layer_weight(layer, fmt::format("{}.weight", name));
}

ggml_tensor* biased(const BuildContext& build, ggml_tensor* input, std::uint32_t layer, std::string_view name,
                    bool bias) {
  if (!bias) return input;
  return ggml_add(build.ggml, input, build.model->layer_weight(layer, fmt::format("{}.bias", name)));
}

ggml_tensor* layer_norm(const BuildContext& build, ggml_tensor* input, std::uint32_t layer, std::string_view name) {
  return ggml_mul(build.ggml, ggml_rms_norm(build.ggml, input, build.hyperparameters->norm_epsilon),
                  weight_of(build, layer, name));
}

ggml_tensor* scaled(const BuildContext& build, ggml_tensor* input, float factor) {
  return factor == 1.0F ? input : ggml_scale(build.ggml, input, factor);
}

ggml_tensor* soft_capped(const BuildContext& build, ggml_tensor* input, float cap) {
  if (cap == 0.0F) return input;
  ggml_tensor* ratio = ggml_scale_inplace(build.ggml, input, 1.0F / cap);
  return ggml_scale_inplace(build.ggml, ggml_tanh_inplace(build.ggml, ratio), cap);
}

}  // namespace driftwood
