// From a file's metadata and tensors to Hyperparameters, by its row of the family table.

#include "model/hyperparameters.hpp"

#include <fmt/format.h>

#include <cmath>

#include "model/family.hpp"
#include "model/rope_metadata.hpp"

namespace driftwood {
namespace {

// Far above any model, and low enough that products of two fit 32 bits and of three 64.
constexpr std::uint32_t kMaxLayers = 512;
constexpr std::uint32_t kMaxEmbedding = 1U << 20;
constexpr std::uint32_t kMaxFeedForward = 1U << 21;
constexpr std::uint32_t kMaxHeads = 1U << 12;
constexpr std::uint32_t kMaxHeadDim = 1U << 12;
constexpr std::uint32_t kMaxVocabulary = 1U << 24;

/// Keys that change what a graph must compute and that no family of ours has, when they are not zero.
struct Refusal {
  std::string_view key;
  std::string_view what;
};
constexpr Refusal kRefusals[] = {
    {"expert_count", "mixture of experts"},
    {"nextn_predict_layers", "layers that predict several tokens"},
    {"attention.max_alibi_bias", "ALiBi positions"},
    {"attention.clamp_kqv", "clamped q, k and v"},
    {"attention.temperature_scale", "attention temperature by position"},
    {"n_deepstack_layers", "deepstack layers"},
};

Result<void> refuse_what_is_not_computed(const Metadata& metadata, const Hyperparameters& hp) {
  const auto unsupported = [&](std::string_view key, std::string_view what) {
    return fail(ErrorCode::unsupported,
                fmt::format("The model uses {} ({}), which Driftwood does not compute.", what, metadata.full_key(key)));
  };
  for (const auto& [key, what] : kRefusals) {
    const GgufValue* value = metadata.find(key);
    if (value == nullptr) continue;
    const bool zero = value->as_unsigned() == 0U || value->as_float() == 0.0;
    if (!zero) return unsupported(key, what);
  }
  if (metadata.find("deepstack_mapping") != nullptr) return unsupported("deepstack_mapping", "deepstack layers");
  DW_TRY_ASSIGN(const auto causal, metadata.flag("attention.causal"));
  if (!causal.value_or(true)) return unsupported("attention.causal", "attention to later tokens");

  const std::pair<std::string_view, std::uint32_t> same_everywhere[] = {
      {"attention.value_length", hp.head_dim},     {"attention.key_length_swa", hp.head_dim},
      {"attention.value_length_swa", hp.head_dim}, {"rope.dimension_count_swa", hp.rope_dims},
      {"embedding_length_out", hp.n_embd},
  };
  for (const auto& [key, expected] : same_everywhere) {
    DW_TRY_ASSIGN(const auto value, metadata.integer(key, UINT32_MAX));
    if (value.value_or(expected) != expected) {
      return fail(ErrorCode::unsupported,
                  fmt::format("{} ({}) differs from {}; only models where they are equal can be run.",
                              metadata.full_key(key), *value, expected));
    }
  }
  return {};
}

Result<void> read_sizes(const Metadata& metadata, const Family& family, Hyperparameters& hp) {
  DW_TRY_ASSIGN(hp.n_ctx_train, metadata.required_count("context_length", INT32_MAX));
  DW_TRY_ASSIGN(hp.n_embd, metadata.required_count("embedding_length", kMaxEmbedding));
  DW_TRY_ASSIGN(hp.n_layer, metadata.required_count("block_count", kMaxLayers));

  const auto required = [&](std::string_view key, std::uint32_t most) -> Result<std::uint32_t> {
    DW_TRY_ASSIGN(const auto value, metadata.uniform_count(key, hp.n_layer, most));
    if (!value) return fail(ErrorCode::corrupt, fmt::format("The metadata key {} is missing.", metadata.full_key(key)));
    return *value;
  };
  DW_TRY_ASSIGN(hp.n_ff, required("feed_forward_length", kMaxFeedForward));
  DW_TRY_ASSIGN(hp.n_head, required("attention.head_count", kMaxHeads));
  DW_TRY_ASSIGN(const auto n_head_kv, metadata.uniform_count("attention.head_count_kv", hp.n_layer, kMaxHeads));
  hp.n_head_kv = n_head_kv.value_or(hp.n_head);
  if (hp.n_head % hp.n_head_kv != 0) {
    return fail(ErrorCode::corrupt,
                fmt::format("The number of heads ({}) is no multiple of that of key-value heads ({}).", hp.n_head,
                            hp.n_head_kv));
  }

  DW_TRY_ASSIGN(const auto key_length, metadata.integer("attention.key_length", kMaxHeadDim));
  hp.head_dim = key_length.value_or(hp.n_embd / hp.n_head);
  DW_TRY_ASSIGN(const auto rope_dims, metadata.integer("rope.dimension_count", kMaxHeadDim));
  hp.rope_dims = rope_dims.value_or(hp.head_dim);
  if (hp.head_dim == 0 || hp.head_dim > kMaxHeadDim || hp.rope_dims == 0 || hp.rope_dims % 2 != 0 ||
      hp.rope_dims > hp.head_dim) {
    return fail(ErrorCode::corrupt, fmt::format("A head of {} dimensions of which {} are rotated is impossible.",
                                                hp.head_dim, hp.rope_dims));
  }
  if (hp.rope_dims != hp.head_dim && !family.partial_rope) {
    return fail(ErrorCode::unsupported,
                fmt::format("{} ({}) differs from the size of a head ({}), which {} models do not do.",
                            metadata.full_key("rope.dimension_count"), hp.rope_dims, hp.head_dim, family.architecture));
  }
  return {};
}

/// n_vocab, and all that is told by which tensors a file has. Layer 0 speaks for all: a layer that differs
/// then lacks a weight or has one too many, which is found when the weights are checked.
Result<void> read_tensors(const Gguf& gguf, const Metadata& metadata, const Family& family, Hyperparameters& hp) {
  const GgufTensor* embeddings = gguf.find_tensor("token_embd.weight");
  if (embeddings == nullptr) return fail(ErrorCode::corrupt, "The weight token_embd.weight is missing.");
  if (embeddings->shape[1] > kMaxVocabulary) {
    return fail(ErrorCode::corrupt,
                fmt::format("The vocabulary ({} tokens) is larger than {}.", embeddings->shape[1], kMaxVocabulary));
  }
  hp.n_vocab = static_cast<std::uint32_t>(embeddings->shape[1]);

  const auto has = [&](std::string_view name) { return gguf.find_tensor(name) != nullptr; };
  hp.fused_qkv = has("blk.0.attn_qkv.weight");
  hp.qkv_bias = has(hp.fused_qkv ? "blk.0.attn_qkv.bias" : "blk.0.attn_q.bias");
  hp.attn_output_bias = family.block_biases && has("blk.0.attn_output.bias");
  hp.ffn_bias = family.block_biases && has("blk.0.ffn_up.bias");
  hp.output_bias = family.output_bias && has("output.bias");
  hp.tied_output =
      family.head == OutputHead::always_tied || (family.head == OutputHead::optional && !has("output.weight"));

  DW_TRY_ASSIGN(const auto scaling, rope_scaling_type(metadata));
  // Phi 3 has its factors whatever the scaling is called; it is the family that has no fixed ones.
  const bool longrope = family.longrope_factors && (scaling == "longrope" || !family.fixed_rope_factors);
  if (longrope && has("rope_factors_long.weight")) {
    hp.rope_factors = RopeFactors::by_context;
  } else if (family.fixed_rope_factors && scaling != "longrope" && has("rope_freqs.weight")) {
    hp.rope_factors = RopeFactors::fixed;
  }
  return {};
}

Result<void> read_sliding_window(const Metadata& metadata, const Family& family, Hyperparameters& hp) {
  if (family.sliding_period == 0) return {};
  DW_TRY_ASSIGN(const auto window, metadata.integer("attention.sliding_window", INT32_MAX));
  hp.sliding_window = window.value_or(family.default_window);
  if (hp.sliding_window == 0) {
    if (family.default_window == 0) return {};
    return fail(ErrorCode::corrupt, fmt::format("{} is 0.", metadata.full_key("attention.sliding_window")));
  }
  std::uint32_t period = family.sliding_period;
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  if (const GgufValue* pattern = metadata.find(kPattern); pattern != nullptr && pattern->is_array) {
    if (pattern->count < hp.n_layer) {
      return fail(ErrorCode::corrupt, fmt::format("{} has {} values for {} layers.", metadata.full_key(kPattern),
                                                  pattern->count, hp.n_layer));
    }
    for (std::uint32_t layer = 0; layer < hp.n_layer; ++layer) {
      const auto sliding = pattern->unsigned_at(layer);
      if (!sliding) {
        return fail(ErrorCode::corrupt, fmt::format("{} does not hold booleans.", metadata.full_key(kPattern)));
      }
      hp.sliding_layer.push_back(*sliding != 0);
    }
    return {};
  }
  DW_TRY_ASSIGN(const auto given, metadata.integer(kPattern, INT32_MAX));
  period = given.value_or(period);
  for (std::uint32_t layer = 0; layer < hp.n_layer; ++layer) {
    hp.sliding_layer.push_back(period == 0 || layer % period < period - 1);
  }
  return {};
}

}  // namespace

Result<Hyperparameters> read_hyperparameters(const Gguf& gguf, const Family& family) {
  const Metadata metadata(gguf, family.architecture);
  Hyperparameters hp;
  hp.norm_placement = family.norms;
  hp.qk_norm = family.qk_norm == QkNorm::per_head;
  hp.qk_norm_full = family.qk_norm == QkNorm::full;
  hp.activation = family.activation;
  hp.fused_gate_up = family.fused_gate_up;
  hp.rope = family.rope;

  DW_TRY(read_sizes(metadata, family, hp));
  DW_TRY(refuse_what_is_not_computed(metadata, hp));
  DW_TRY(read_tensors(gguf, metadata, family, hp));

  DW_TRY_ASSIGN(const auto epsilon, metadata.number("attention.layer_norm_rms_epsilon"));
  if (!epsilon || *epsilon < 0.0F) {
    return fail(ErrorCode::corrupt,
                fmt::format("{} is missing or negative.", metadata.full_key("attention.layer_norm_rms_epsilon")));
  }
  hp.norm_epsilon = *epsilon;
  hp.attention_scale = 1.0F / std::sqrt(static_cast<float>(hp.head_dim));
  if (family.embeddings_by_sqrt) hp.embedding_scale = std::sqrt(static_cast<float>(hp.n_embd));

  DW_TRY(read_rope(metadata, hp));
  DW_TRY(read_sliding_window(metadata, family, hp));
  if (family.adjust != nullptr) DW_TRY(family.adjust(metadata, hp));
  return hp;
}

}  // namespace driftwood
