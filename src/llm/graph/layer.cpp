#include "llm/graph/layer.hpp"

#include <array>
#include <vector>

namespace driftwood {

namespace {

bool normed_before(const Hyperparameters& model) { return model.norm_placement != NormPlacement::post; }
bool normed_after(const Hyperparameters& model) { return model.norm_placement != NormPlacement::pre; }

ggml_tensor* output_rows(const BuildContext& build, ggml_tensor* rows) {
  return build.output_rows == nullptr ? rows : ggml_get_rows(build.ggml, rows, build.output_rows);
}

Activations block_input(const BuildContext& build, ggml_tensor* residual, std::uint32_t layer, std::string_view name) {
  if (!normed_before(*build.hyperparameters)) return build.products->rows(residual);
  return build.products->normed(residual, weight_of(build, layer, name));
}

/// weight x input (+ bias), with the norm and scale that the family puts after it, added to the residual stream.
ggml_tensor* add_block(const BuildContext& build, Activations& input, std::uint32_t layer, std::string_view name,
                       bool bias, std::string_view norm_name, ggml_tensor* residual) {
  const Hyperparameters& model = *build.hyperparameters;
  ggml_tensor* weight = weight_of(build, layer, name);
  const bool adds_directly = !bias && !normed_after(model) && model.residual_scale == 1.0F;
  if (adds_directly) return build.products->product(build.ggml, input, weight, residual);
  ggml_tensor* x = biased(build, build.products->product(build.ggml, input, weight), layer, name, bias);
  if (normed_after(model)) x = layer_norm(build, x, layer, norm_name);
  return ggml_add(build.ggml, scaled(build, x, model.residual_scale), residual);
}

}  // namespace

ggml_tensor* feed_forward(const BuildContext& build, std::uint32_t layer, ggml_tensor* residual) {
  const Hyperparameters& model = *build.hyperparameters;
  Activations input = block_input(build, residual, layer, "ffn_norm");
  ggml_tensor* gate = nullptr;
  ggml_tensor* up = nullptr;
  if (model.fused_gate_up) {
    ggml_tensor* both = build.products->product(build.ggml, input, weight_of(build, layer, "ffn_up"));
    both = biased(build, both, layer, "ffn_up", model.ffn_bias);
    const std::int64_t n_ff = both->ne[0] / 2;
    gate = ggml_view_2d(build.ggml, both, n_ff, both->ne[1], both->nb[1], 0);
    up = ggml_view_2d(build.ggml, both, n_ff, both->ne[1], both->nb[1], static_cast<std::size_t>(n_ff) * sizeof(float));
  } else {
    const std::array<ggml_tensor*, 2> weights = {weight_of(build, layer, "ffn_gate"),
                                                 weight_of(build, layer, "ffn_up")};
    const std::vector<ggml_tensor*> rows = build.products->products(build.ggml, input, weights);
    gate = biased(build, rows[0], layer, "ffn_gate", model.ffn_bias);
    up = biased(build, rows[1], layer, "ffn_up", model.ffn_bias);
  }
  may_end_part(build, {gate, up});
  Activations active = build.products->gated(gate, up);
  return add_block(build, active, layer, "ffn_down", model.ffn_bias, "post_ffw_norm", residual);
}

ggml_tensor* transformer_layer(const BuildContext& build, KvAccess& kv, std::uint32_t layer, ggml_tensor* residual) {
  const Hyperparameters& model = *build.hyperparameters;
  Activations input = block_input(build, residual, layer, "attn_norm");
  ggml_tensor* q = project_and_store(build, kv, layer, input);
  const bool is_last = layer + 1 == model.n_layer;
  if (is_last && build.shape.n_outputs == 0) return nullptr;
  ggml_tensor* attended = kv.attend(build, layer, q);
  if (is_last) {
    attended = output_rows(build, attended);
    residual = output_rows(build, residual);
  }
  Activations heads = build.products->rows(attended);
  residual = add_block(build, heads, layer, "attn_output", model.attn_output_bias, "post_attention_norm", residual);
  may_end_part(build, {residual});
  return feed_forward(build, layer, residual);
}

}  // namespace driftwood
