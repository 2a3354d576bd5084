#include "model/weights.hpp"

#include <fmt/format.h>

#include <string_view>
#include <unordered_set>

namespace driftwood {
namespace {

class SpecList {
 public:
  void vector(std::string name, std::uint32_t size) { specs_.push_back({std::move(name), {size, 1}, false}); }
  void matrix(std::string name, std::uint32_t columns, std::uint32_t rows) {
    specs_.push_back({std::move(name), {columns, rows}, true});
  }
  std::vector<WeightSpec> take() { return std::move(specs_); }

 private:
  std::vector<WeightSpec> specs_;
};

void add_attention(SpecList& list, std::string_view layer, const Hyperparameters& hp) {
  const auto name = [&](std::string_view suffix) { return fmt::format("{}.{}", layer, suffix); };
  const std::uint32_t q = hp.q_dim();
  const std::uint32_t kv = hp.kv_dim();
  if (hp.norm_placement != NormPlacement::post) list.vector(name("attn_norm.weight"), hp.n_embd);
  if (hp.fused_qkv) {
    list.matrix(name("attn_qkv.weight"), hp.n_embd, q + 2 * kv);
    if (hp.qkv_bias) list.vector(name("attn_qkv.bias"), q + 2 * kv);
  } else {
    list.matrix(name("attn_q.weight"), hp.n_embd, q);
    list.matrix(name("attn_k.weight"), hp.n_embd, kv);
    list.matrix(name("attn_v.weight"), hp.n_embd, kv);
    if (hp.qkv_bias) {
      list.vector(name("attn_q.bias"), q);
      list.vector(name("attn_k.bias"), kv);
      list.vector(name("attn_v.bias"), kv);
    }
  }
  if (hp.qk_norm || hp.qk_norm_full) {
    list.vector(name("attn_q_norm.weight"), hp.qk_norm_full ? q : hp.head_dim);
    list.vector(name("attn_k_norm.weight"), hp.qk_norm_full ? kv : hp.head_dim);
  }
  list.matrix(name("attn_output.weight"), q, hp.n_embd);
  if (hp.attn_output_bias) list.vector(name("attn_output.bias"), hp.n_embd);
  if (hp.norm_placement != NormPlacement::pre) list.vector(name("post_attention_norm.weight"), hp.n_embd);
}

void add_feed_forward(SpecList& list, std::string_view layer, const Hyperparameters& hp) {
  const auto name = [&](std::string_view suffix) { return fmt::format("{}.{}", layer, suffix); };
  if (hp.norm_placement != NormPlacement::post) list.vector(name("ffn_norm.weight"), hp.n_embd);
  if (!hp.fused_gate_up) list.matrix(name("ffn_gate.weight"), hp.n_embd, hp.n_ff);
  list.matrix(name("ffn_up.weight"), hp.n_embd, hp.fused_gate_up ? 2 * hp.n_ff : hp.n_ff);
  list.matrix(name("ffn_down.weight"), hp.n_ff, hp.n_embd);
  if (hp.ffn_bias) {
    list.vector(name("ffn_gate.bias"), hp.n_ff);
    list.vector(name("ffn_up.bias"), hp.n_ff);
    list.vector(name("ffn_down.bias"), hp.n_embd);
  }
  if (hp.norm_placement != NormPlacement::pre) list.vector(name("post_ffw_norm.weight"), hp.n_embd);
}

Result<void> check_weight(const GgufTensor* tensor, const WeightSpec& spec) {
  if (tensor == nullptr) return fail(ErrorCode::corrupt, fmt::format("The weight {} is missing.", spec.name));
  if (tensor->shape != std::array<std::int64_t, GGML_MAX_DIMS>{spec.shape[0], spec.shape[1], 1, 1}) {
    return fail(ErrorCode::corrupt,
                fmt::format("The shape of {} ({} x {} x {} x {}) is not the one that the metadata calls for ({} x {}).",
                            spec.name, tensor->shape[0], tensor->shape[1], tensor->shape[2], tensor->shape[3],
                            spec.shape[0], spec.shape[1]));
  }
  const bool usable = spec.is_matrix ? is_weight_type(tensor->type) : tensor->type == GGML_TYPE_F32;
  if (!usable) {
    return fail(ErrorCode::unsupported,
                fmt::format("The weight {} is of type {}, which cannot be used there{}.", spec.name,
                            ggml_type_name(tensor->type), spec.is_matrix ? "" : ": it must be f32"));
  }
  return {};
}

}  // namespace

std::vector<WeightSpec> weight_specs(const Hyperparameters& hp) {
  SpecList list;
  list.matrix("token_embd.weight", hp.n_embd, hp.n_vocab);
  if (hp.rope_factors == RopeFactors::fixed) list.vector("rope_freqs.weight", hp.rope_dims / 2);
  if (hp.rope_factors == RopeFactors::by_context) {
    list.vector("rope_factors_long.weight", hp.rope_dims / 2);
    list.vector("rope_factors_short.weight", hp.rope_dims / 2);
  }
  for (std::uint32_t i = 0; i < hp.n_layer; ++i) {
    const std::string layer = fmt::format("blk.{}", i);
    add_attention(list, layer, hp);
    add_feed_forward(list, layer, hp);
  }
  list.vector("output_norm.weight", hp.n_embd);
  if (!hp.tied_output) list.matrix("output.weight", hp.n_embd, hp.n_vocab);
  if (hp.output_bias) list.vector("output.bias", hp.n_vocab);
  return list.take();
}

bool is_weight_type(ggml_type type) noexcept {
  switch (type) {
    case GGML_TYPE_F32:
    case GGML_TYPE_F16:
    case GGML_TYPE_BF16:
    case GGML_TYPE_Q4_0:
    case GGML_TYPE_Q4_1:
    case GGML_TYPE_Q5_0:
    case GGML_TYPE_Q5_1:
    case GGML_TYPE_Q8_0:
    case GGML_TYPE_Q2_K:
    case GGML_TYPE_Q3_K:
    case GGML_TYPE_Q4_K:
    case GGML_TYPE_Q5_K:
    case GGML_TYPE_Q6_K:
    case GGML_TYPE_IQ1_S:
    case GGML_TYPE_IQ1_M:
    case GGML_TYPE_IQ2_XXS:
    case GGML_TYPE_IQ2_XS:
    case GGML_TYPE_IQ2_S:
    case GGML_TYPE_IQ3_XXS:
    case GGML_TYPE_IQ3_S:
    case GGML_TYPE_IQ4_NL:
    case GGML_TYPE_IQ4_XS:
    case GGML_TYPE_MXFP4:
    case GGML_TYPE_TQ1_0:
    case GGML_TYPE_TQ2_0: return true;
    default: return false;
  }
}

Result<void> check_weights(const Gguf& gguf, const Family& family, const Hyperparameters& hyperparameters) {
  const std::vector<WeightSpec> specs = weight_specs(hyperparameters);
  std::unordered_set<std::string_view> used;
  for (const WeightSpec& spec : specs) {
    DW_TRY(check_weight(gguf.find_tensor(spec.name), spec));
    used.insert(spec.name);
  }
  for (const GgufTensor& tensor : gguf.tensors()) {
    if (!used.contains(tensor.name)) {
      return fail(ErrorCode::unsupported, fmt::format("The file holds {}, which the graph of {} models does not use.",
                                                      tensor.name, family.architecture));
    }
  }
  return {};
}

}  // namespace driftwood
