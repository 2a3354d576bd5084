#include "llm/graph/decoder_model.hpp"

#include <fmt/format.h>
#include <ggml-backend.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "llm/context.hpp"

namespace driftwood {

namespace {

/// What of the graph is not llama's, as a word for people; empty when nothing is.
std::string_view foreign_part(const Hyperparameters& model) {
  if (model.norm_placement != NormPlacement::pre) return "norms after its blocks";
  if (model.qk_norm || model.qk_norm_full) return "norms of queries and keys";
  if (model.fused_qkv || model.fused_gate_up) return "fused projections";
  if (model.qkv_bias || model.attn_output_bias || model.ffn_bias || model.output_bias) return "biases";
  if (model.activation != Activation::silu) return "another activation";
  if (std::ranges::find(model.rope_layer, false) != model.rope_layer.end()) return "layers without rope";
  if (std::ranges::find(model.sliding_layer, true) != model.sliding_layer.end()) return "sliding windows";
  if (model.rope_ext_factor != 0 || model.rope_factors == RopeFactors::by_context) return "yarn or long rope";
  if (model.residual_scale != 1 || model.logit_scale != 1) return "scaled blocks";
  if (model.attention_softcap != 0 || model.final_softcap != 0) return "soft caps";
  return {};
}

std::vector<float> rope_frequencies(const Model& model) {
  const Hyperparameters& numbers = model.hyperparameters();
  std::vector<float> factors(numbers.rope_dims / 2, 1.0F);
  if (numbers.rope_factors == RopeFactors::fixed) {
    ggml_backend_tensor_get(model.weight("rope_freqs.weight"), factors.data(), 0, factors.size() * sizeof(float));
  }
  std::vector<float> frequencies(factors.size());
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / numbers.rope_dims;
    frequencies[i] = static_cast<float>(std::pow(double{numbers.rope_base}, exponent) / factors[i]);
  }
  return frequencies;
}

}  // namespace

Result<DecoderModel> make_decoder_model(const Model& model) {
  const Hyperparameters& numbers = model.hyperparameters();
  if (const std::string_view part = foreign_part(numbers); !part.empty()) {
    return fail(ErrorCode::unsupported,
                fmt::format("The fused decoder computes llama's graph; this model has {}.", part));
  }
  DW_TRY_ASSIGN(const ContextLayout layout, make_context_layout(numbers, 1, KvType::f16));
  DecoderModel decoder{
      .n_vocab = numbers.n_vocab,
      .n_embd = numbers.n_embd,
      .n_ff = numbers.n_ff,
      .n_head = numbers.n_head,
      .n_head_kv = numbers.n_head_kv,
      .head_dim = numbers.head_dim,
      .rope_dims = numbers.rope_dims,
      .rope_neox = numbers.rope == RopeKind::neox,
      .rope_scale = numbers.rope_scale,
      .rope_magnitude = numbers.rope_attn_factor,
      .rope_frequencies = rope_frequencies(model),
      .norm_epsilon = numbers.norm_epsilon,
      .attention_scale = numbers.attention_scale,
      .embedding_scale = numbers.embedding_scale,
      .token_embd = model.weight("token_embd.weight"),
      .output_norm = model.weight("output_norm.weight"),
      .output = model.weight("output.weight"),
      .layers = {},
      .row_bytes = layout.row_bytes,
      .token_stride = layout.token_stride,
  };
  for (std::uint32_t i = 0; i < numbers.n_layer; ++i) {
    decoder.layers.push_back({
        .attn_norm = model.layer_weight(i, "attn_norm.weight"),
        .q = model.layer_weight(i, "attn_q.weight"),
        .k = model.layer_weight(i, "attn_k.weight"),
        .v = model.layer_weight(i, "attn_v.weight"),
        .attn_output = model.layer_weight(i, "attn_output.weight"),
        .ffn_norm = model.layer_weight(i, "ffn_norm.weight"),
        .gate = model.layer_weight(i, "ffn_gate.weight"),
        .up = model.layer_weight(i, "ffn_up.weight"),
        .down = model.layer_weight(i, "ffn_down.weight"),
    });
  }
  return decoder;
}

}  // namespace driftwood
