// The numbers and switches that describe a transformer: all that a forward graph
// needs to know beside the weights. Filled from GGUF metadata, the tensors that are
// there and the family table; every field holds a usable value once filled.
#pragma once

#include <cstdint>
#include <vector>

namespace driftwood {

enum class NormKind : std::uint8_t { rms };
enum class Activation : std::uint8_t { silu, gelu };
enum class RopeKind : std::uint8_t { normal, neox };

/// Where a family puts its norms around attention and feed-forward, and their weights' names.
enum class NormPlacement : std::uint8_t {
  pre,       ///< llama: before each block (attn_norm, ffn_norm)
  post,      ///< olmo2: after each block only, before the residual is added (post_attention_norm,
             ///< post_ffw_norm)
  pre_post,  ///< gemma2/3: before and after (all four)
};

/// What divides the frequencies of rope, one factor for each pair of dimensions (f32).
enum class RopeFactors : std::uint8_t {
  none,
  fixed,       ///< rope_freqs.weight (llama 3)
  by_context,  ///< rope_factors_long.weight where a Context's n_ctx exceeds rope_original_ctx, else
               ///< _short (phi3)
};

struct Hyperparameters {
  std::uint32_t n_vocab = 0;
  std::uint32_t n_ctx_train = 0;
  std::uint32_t n_embd = 0;
  std::uint32_t n_layer = 0;
  std::uint32_t n_head = 0;
  std::uint32_t n_head_kv = 0;  ///< divides n_head
  std::uint32_t head_dim = 0;   ///< of keys and of values; n_head * head_dim may differ from n_embd
  std::uint32_t n_ff = 0;

  NormKind norm = NormKind::rms;
  float norm_epsilon = 1e-5F;
  NormPlacement norm_placement = NormPlacement::pre;
  bool qk_norm = false;           ///< norm over each head of q and k, before rope (qwen3, gemma3)
  bool qk_norm_full = false;      ///< norm over all heads together, before rope (olmo2)
  bool fused_qkv = false;         ///< attn_qkv holds q, k and v one after another (phi3)
  bool qkv_bias = false;          ///< attn_q/k/v.bias, or attn_qkv.bias when fused (qwen2)
  bool attn_output_bias = false;  ///< attn_output.bias
  bool fused_gate_up = false;     ///< ffn_up holds gate, then up: 2 * n_ff rows (phi3)
  bool ffn_bias = false;          ///< ffn_gate/up/down.bias
  bool output_bias = false;       ///< output.bias
  bool tied_output = false;       ///< no output.weight: token_embd.weight serves
  Activation activation = Activation::silu;

  RopeKind rope = RopeKind::normal;
  RopeFactors rope_factors = RopeFactors::none;
  std::uint32_t rope_dims = 0;  ///< even, at most head_dim; the dimensions after it are not rotated
  float rope_base = 10000.0F;
  float rope_scale = 1.0F;              ///< frequency scale (1 / the scaling factor)
  std::uint32_t rope_original_ctx = 0;  ///< tokens trained without scaling (yarn, RopeFactors::by_context)
  float rope_ext_factor = 0.0F;         ///< yarn: 1
  float rope_attn_factor = 1.0F;        ///< as ggml_rope_ext takes it: yarn's own factor is cancelled where it must be
  float rope_beta_fast = 32.0F;
  float rope_beta_slow = 1.0F;
  // The same for sliding-window layers; equal to the above where a family makes no difference.
  float rope_base_local = 10000.0F;
  float rope_scale_local = 1.0F;
  float rope_ext_factor_local = 0.0F;
  float rope_attn_factor_local = 1.0F;
  std::vector<bool> rope_layer;  ///< empty: all layers; else false where a layer has no rope (smollm3)

  std::uint32_t sliding_window = 0;  ///< a sliding layer's token sees itself and sliding_window - 1 before it; 0: none
  std::vector<bool> sliding_layer;   ///< empty without a window; else one per layer

  float embedding_scale = 1.0F;    ///< multiplies the token embeddings (gemma: sqrt(n_embd); granite)
  float attention_scale = 0.0F;    ///< multiplies q.k; never 0 once filled
  float residual_scale = 1.0F;     ///< multiplies each block's output before it is added (granite)
  float logit_scale = 1.0F;        ///< multiplies the logits (granite: 1 / its value)
  float attention_softcap = 0.0F;  ///< s: q.k becomes s * tanh(q.k / s) (gemma2); 0: none
  float final_softcap = 0.0F;      ///< the same for the logits, after logit_scale

  std::uint32_t q_dim() const noexcept { return n_head * head_dim; }
  std::uint32_t kv_dim() const noexcept { return n_head_kv * head_dim; }
  bool has_rope(std::uint32_t layer) const { return rope_layer.empty() || rope_layer[layer]; }
  bool is_sliding(std::uint32_t layer) const { return !sliding_layer.empty() && sliding_layer[layer]; }
};

}  // namespace driftwood
