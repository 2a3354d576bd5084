// The numbers and switches that describe a transformer: all that a forward graph
// needs to know beside the weights. Filled from GGUF metadata and the family table.
#pragma once

#include <cstdint>
#include <vector>

namespace driftwood {

enum class NormKind : std::uint8_t { rms };
enum class Activation : std::uint8_t { silu, gelu };
enum class RopeKind : std::uint8_t { normal, neox };

/// Where a family puts its norms around attention and feed-forward.
enum class NormPlacement : std::uint8_t {
  pre,       ///< llama: before each block
  post,      ///< olmo2: after each block only
  pre_post,  ///< gemma2/3: before and after
};

struct Hyperparameters {
  std::uint32_t n_vocab = 0;
  std::uint32_t n_ctx_train = 0;
  std::uint32_t n_embd = 0;
  std::uint32_t n_layer = 0;
  std::uint32_t n_head = 0;
  std::uint32_t n_head_kv = 0;
  std::uint32_t head_dim = 0;  ///< of keys and of values
  std::uint32_t n_ff = 0;

  float norm_epsilon = 1e-5F;
  NormPlacement norm_placement = NormPlacement::pre;
  bool qk_norm = false;            ///< norm over each head of q and k (qwen3, gemma3)
  bool qk_norm_full = false;       ///< norm over all heads together (olmo2)
  bool qkv_bias = false;           ///< qwen2
  bool fused_qkv = false;          ///< phi3: one weight for q, k and v
  bool fused_gate_up = false;      ///< phi3: one weight for gate and up
  Activation activation = Activation::silu;

  RopeKind rope = RopeKind::normal;
  std::uint32_t rope_dims = 0;
  float rope_base = 10000.0F;
  float rope_scale = 1.0F;              ///< frequency scale (1 / the scaling factor)
  float rope_base_local = 10000.0F;     ///< of sliding-window layers (gemma3)
  float rope_scale_local = 1.0F;
  std::uint32_t rope_original_ctx = 0;  ///< for long-context factors (phi3, yarn)
  float rope_ext_factor = 0.0F;         ///< yarn
  float rope_attn_factor = 1.0F;
  float rope_beta_fast = 32.0F;
  float rope_beta_slow = 1.0F;
  std::vector<bool> rope_layer;         ///< empty: all layers; else false where a layer has no rope (smollm3)

  std::uint32_t sliding_window = 0;      ///< tokens, 0: none
  std::vector<bool> sliding_layer;       ///< empty: none or, with a window, all; else per layer

  float embedding_scale = 1.0F;          ///< gemma: sqrt(n_embd); granite
  float attention_scale = 0.0F;          ///< multiplies q.k; never 0 once filled
  float residual_scale = 1.0F;           ///< granite
  float logit_scale = 1.0F;              ///< multiplies the logits (granite: 1 / its value)
  float attention_softcap = 0.0F;        ///< gemma2; 0: none
  float final_softcap = 0.0F;
};

}  // namespace driftwood
