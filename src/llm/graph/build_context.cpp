#include "llm/graph/build_context.hpp"

#include <fmt/format.h>

namespace driftwood {

ggml_tensor* linear(const BuildContext& build, ggml_tensor* input, std::uint32_t layer, std::string_view name,
                    bool bias) {
  ggml_tensor* weight = build.model->layer_weight(layer, fmt::format("{}.weight", name));
  ggml_tensor* product = ggml_mul_mat(build.ggml, weight, input);
  if (!bias) return product;
  return ggml_add(build.ggml, product, build.model->layer_weight(layer, fmt::format("{}.bias", name)));
}

ggml_tensor* norm(const BuildContext& build, ggml_tensor* input, ggml_tensor* weight) {
  // The CPU runs these two as one pass when nothing stands between them.
  return ggml_mul(build.ggml, ggml_rms_norm(build.ggml, input, build.hyperparameters->norm_epsilon), weight);
}

ggml_tensor* layer_norm(const BuildContext& build, ggml_tensor* input, std::uint32_t layer, std::string_view name) {
  return norm(build, input, build.model->layer_weight(layer, fmt::format("{}.weight", name)));
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
