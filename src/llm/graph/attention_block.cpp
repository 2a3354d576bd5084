#include <array>
#include <vector>

#include "llm/graph/layer.hpp"

namespace driftwood {

namespace {

struct Projections {
  ggml_tensor* q;
  ggml_tensor* k;
  ggml_tensor* v;
};

/// Columns of `rows`, f32 [columns, n_tokens], as heads: [head_dim, n_heads, n_tokens].
ggml_tensor* as_heads(const BuildContext& build, ggml_tensor* rows, std::uint32_t n_heads,
                      std::uint32_t first_head = 0) {
  const std::uint32_t head_dim = build.hyperparameters->head_dim;
  const std::size_t head_bytes = head_dim * sizeof(float);
  return ggml_view_3d(build.ggml, rows, head_dim, n_heads, rows->ne[1], head_bytes, rows->nb[1],
                      first_head * head_bytes);
}

/// One weight gives all three: q heads, then k heads, then v heads.
Projections project_fused(const BuildContext& build, std::uint32_t layer, Activations& input) {
  const Hyperparameters& model = *build.hyperparameters;
  ggml_tensor* qkv = build.products->product(build.ggml, input, weight_of(build, layer, "attn_qkv"));
  qkv = biased(build, qkv, layer, "attn_qkv", model.qkv_bias);
  return {as_heads(build, qkv, model.n_head), as_heads(build, qkv, model.n_head_kv, model.n_head),
          as_heads(build, qkv, model.n_head_kv, model.n_head + model.n_head_kv)};
}

Projections project(const BuildContext& build, std::uint32_t layer, Activations& input) {
  const Hyperparameters& model = *build.hyperparameters;
  if (model.fused_qkv) return project_fused(build, layer, input);

  const std::array<ggml_tensor*, 3> weights = {weight_of(build, layer, "attn_q"), weight_of(build, layer, "attn_k"),
                                               weight_of(build, layer, "attn_v")};
  const std::vector<ggml_tensor*> rows = build.products->products(build.ggml, input, weights);
  ggml_tensor* q = biased(build, rows[0], layer, "attn_q", model.qkv_bias);
  ggml_tensor* k = biased(build, rows[1], layer, "attn_k", model.qkv_bias);
  ggml_tensor* v = biased(build, rows[2], layer, "attn_v", model.qkv_bias);
  if (model.qk_norm_full) {
    q = layer_norm(build, q, layer, "attn_q_norm");
    k = layer_norm(build, k, layer, "attn_k_norm");
  }
  Projections p{as_heads(build, q, model.n_head), as_heads(build, k, model.n_head_kv),
                as_heads(build, v, model.n_head_kv)};
  if (model.qk_norm) {
    p.q = layer_norm(build, p.q, layer, "attn_q_norm");
    p.k = layer_norm(build, p.k, layer, "attn_k_norm");
  }
  return p;
}

/// What divides the frequencies, one number for each pair of dimensions; null for most models.
ggml_tensor* frequency_factors(const BuildContext& build) {
  switch (build.hyperparameters->rope_factors) {
    case RopeFactors::none: return nullptr;
    case RopeFactors::fixed: return build.model->weight("rope_freqs.weight");
    case RopeFactors::by_context:
      return build.model->weight(build.shape.long_rope ? "rope_factors_long.weight" : "rope_factors_short.weight");
  }
  return nullptr;
}

ggml_tensor* rope(const BuildContext& build, std::uint32_t layer, ggml_tensor* heads) {
  const Hyperparameters& model = *build.hyperparameters;
  if (!model.has_rope(layer)) return heads;
  const int mode = model.rope == RopeKind::neox ? GGML_ROPE_TYPE_NEOX : GGML_ROPE_TYPE_NORMAL;
  const bool local = model.is_sliding(layer);
  return ggml_rope_ext(
      build.ggml, heads, build.positions, frequency_factors(build), static_cast<int>(model.rope_dims), mode,
      static_cast<int>(model.rope_original_ctx), local ? model.rope_base_local : model.rope_base,
      local ? model.rope_scale_local : model.rope_scale, local ? model.rope_ext_factor_local : model.rope_ext_factor,
      local ? model.rope_attn_factor_local : model.rope_attn_factor, model.rope_beta_fast, model.rope_beta_slow);
}

}  // namespace

ggml_tensor* project_and_store(const BuildContext& build, KvAccess& kv, std::uint32_t layer, Activations& input) {
  const Projections p = project(build, layer, input);
  ggml_tensor* q = rope(build, layer, p.q);
  ggml_tensor* k = rope(build, layer, p.k);
  kv.store(build, layer, k, p.v);
  return q;
}

}  // namespace driftwood
