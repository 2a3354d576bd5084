#include "llm/graph/layer.hpp"

namespace driftwood {

namespace {

bool normed_before(const Hyperparameters& model) { return model.norm_placement != NormPlacement::post; }
bool normed_after(const Hyperparameters& model) { return model.norm_placement != NormPlacement::pre; }

ggml_tensor* last_row(const BuildContext& build, ggml_tensor* rows) {
  if (rows->ne[1] == 1) return rows;
  return ggml_view_2d(build.ggml, rows, rows->ne[0], 1, rows->nb[1],
                      static_cast<std::size_t>(rows->ne[1] - 1) * rows->nb[1]);
}

}  // namespace

ggml_tensor* feed_forward(const BuildContext& build, std::uint32_t layer, ggml_tensor* input) {
  const Hyperparameters& model = *build.hyperparameters;
  const bool silu = model.activation == Activation::silu;
  ggml_tensor* up = linear(build, input, layer, "ffn_up", model.ffn_bias);
  ggml_tensor* active = nullptr;
  if (model.fused_gate_up) {
    active = silu ? ggml_swiglu(build.ggml, up) : ggml_geglu(build.ggml, up);
  } else {
    ggml_tensor* gate = linear(build, input, layer, "ffn_gate", model.ffn_bias);
    active = silu ? ggml_swiglu_split(build.ggml, gate, up) : ggml_geglu_split(build.ggml, gate, up);
  }
  return linear(build, active, layer, "ffn_down", model.ffn_bias);
}

ggml_tensor* transformer_layer(const BuildContext& build, KvAccess& kv, std::uint32_t layer, ggml_tensor* residual,
                               OutputRows rows) {
  const Hyperparameters& model = *build.hyperparameters;

  ggml_tensor* x = normed_before(model) ? layer_norm(build, residual, layer, "attn_norm") : residual;
  ggml_tensor* q = project_and_store(build, kv, layer, x);
  if (rows == OutputRows::none) return nullptr;
  x = kv.attend(build, layer, q);
  if (rows == OutputRows::last) {
    x = last_row(build, x);
    residual = last_row(build, residual);
  }
  x = linear(build, x, layer, "attn_output", model.attn_output_bias);
  if (normed_after(model)) x = layer_norm(build, x, layer, "post_attention_norm");
  residual = ggml_add(build.ggml, scaled(build, x, model.residual_scale), residual);

  x = normed_before(model) ? layer_norm(build, residual, layer, "ffn_norm") : residual;
  x = feed_forward(build, layer, x);
  if (normed_after(model)) x = layer_norm(build, x, layer, "post_ffw_norm");
  return ggml_add(build.ggml, scaled(build, x, model.residual_scale), residual);
}

}  // namespace driftwood
