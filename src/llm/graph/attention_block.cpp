#include "llm/graph/layer.hpp"

namespace driftwood {

namespace {

struct Projections {
  ggml_tensor* q;
  ggml_tensor* k;
  ggml_tensor* v;
};

/// One weight gave all three, row by row: q heads, k heads, v heads.
Projections split_fused(const BuildContext& build, ggml_tensor* qkv) {
  const Hyperparameters& model = *build.hyperparameters;
  const std::size_t head_bytes = model.head_dim * sizeof(float);
  const auto part = [&](std::uint32_t n_heads, std::size_t first_head) {
    return ggml_view_3d(build.ggml, qkv, model.head_dim, n_heads, build.shape.n_tokens, head_bytes, qkv->nb[1],
                        first_head * head_bytes);
  };
  return {part(model.n_head, 0), part(model.n_head_kv, model.n_head),
          part(model.n_head_kv, std::size_t{model.n_head} + model.n_head_kv)};
}

Projections project(const BuildContext& build, std::uint32_t layer, ggml_tensor* input) {
  const Hyperparameters& model = *build.hyperparameters;
  if (model.fused_qkv) return split_fused(build, linear(build, input, layer, "attn_qkv", model.qkv_bias));

  Projections p{linear(build, input, layer, "attn_q", model.qkv_bias),
                linear(build, input, layer, "attn_k", model.qkv_bias),
                linear(build, input, layer, "attn_v", model.qkv_bias)};
  if (model.qk_norm_full) {
    p.q = layer_norm(build, p.q, layer, "attn_q_norm");
    p.k = layer_norm(build, p.k, layer, "attn_k_norm");
  }
  const std::int64_t n = build.shape.n_tokens;
  p.q = ggml_reshape_3d(build.ggml, p.q, model.head_dim, model.n_head, n);
  p.k = ggml_reshape_3d(build.ggml, p.k, model.head_dim, model.n_head_kv, n);
  p.v = ggml_reshape_3d(build.ggml, p.v, model.head_dim, model.n_head_kv, n);
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

ggml_tensor* project_and_store(const BuildContext& build, KvAccess& kv, std::uint32_t layer, ggml_tensor* input) {
  const Projections p = project(build, layer, input);
  ggml_tensor* q = rope(build, layer, p.q);
  ggml_tensor* k = rope(build, layer, p.k);
  kv.store(build, layer, k, p.v);
  return q;
}

}  // namespace driftwood
