#include "model/family.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "model/rope_metadata.hpp"

namespace driftwood {
namespace {

float inverse_sqrt(std::uint32_t value) { return 1.0F / std::sqrt(static_cast<float>(value)); }

/// Gemma 2 and 3 of 27B scale q.k by the width of a head in the embedding, all others by head_dim.
void scale_attention_as_gemma(std::uint32_t layers_of_27b, Hyperparameters& hp) {
  if (hp.n_layer == layers_of_27b) hp.attention_scale = inverse_sqrt(hp.n_embd / hp.n_head);
}

Result<void> adjust_gemma2(const Metadata& metadata, Hyperparameters& hp) {
  scale_attention_as_gemma(46, hp);
  hp.attention_softcap = 50.0F;
  hp.final_softcap = 30.0F;
  DW_TRY(metadata.number_into("attn_logit_softcapping", hp.attention_softcap));
  DW_TRY(metadata.number_into("final_logit_softcapping", hp.final_softcap));
  return metadata.number_into("rope.freq_base_swa", hp.rope_base_local);
}

Result<void> adjust_gemma3(const Metadata& metadata, Hyperparameters& hp) {
  scale_attention_as_gemma(62, hp);
  hp.rope_base_local = 10000.0F;
  hp.rope_scale_local = 1.0F;
  DW_TRY(metadata.number_into("final_logit_softcapping", hp.final_softcap));
  return metadata.number_into("rope.freq_base_swa", hp.rope_base_local);
}

Result<void> adjust_granite(const Metadata& metadata, Hyperparameters& hp) {
  float logit_divisor = 0.0F;
  float attention_scale = 0.0F;
  DW_TRY(metadata.number_into("logit_scale", logit_divisor));
  DW_TRY(metadata.number_into("attention.scale", attention_scale));
  DW_TRY(metadata.number_into("residual_scale", hp.residual_scale));
  DW_TRY(metadata.number_into("embedding_scale", hp.embedding_scale));
  if (logit_divisor == 0.0F) {
    return fail(ErrorCode::corrupt, fmt::format("{} is missing or 0.", metadata.full_key("logit_scale")));
  }
  hp.logit_scale = 1.0F / logit_divisor;
  // A multiplier of 0 stands for one that was never set.
  if (attention_scale != 0.0F) hp.attention_scale = attention_scale;
  if (hp.residual_scale == 0.0F) hp.residual_scale = 1.0F;
  if (hp.embedding_scale == 0.0F) hp.embedding_scale = 1.0F;
  // Granite's files say through this key whether positions are used at all.
  DW_TRY_ASSIGN(const auto uses_rope, metadata.flag("rope.scaling.finetuned"));
  if (!uses_rope.value_or(true)) hp.rope_layer.assign(hp.n_layer, false);
  return {};
}

Result<void> adjust_mistral3(const Metadata& metadata, Hyperparameters& hp) { return read_explicit_yarn(metadata, hp); }

Result<void> adjust_olmo2(const Metadata&, Hyperparameters& hp) {
  // Sliding layers (Olmo 3) rotate without yarn.
  hp.rope_scale_local = 1.0F;
  hp.rope_ext_factor_local = 0.0F;
  hp.rope_attn_factor_local = 1.0F;
  return {};
}

Result<void> adjust_smollm3(const Metadata&, Hyperparameters& hp) {
  constexpr std::uint32_t kNoRopePeriod = 4;
  for (std::uint32_t layer = 0; layer < hp.n_layer; ++layer) {
    hp.rope_layer.push_back((layer + 1) % kNoRopePeriod != 0);
  }
  return {};
}

// Sorted by name. A windowed llama, qwen2 or phi3 file runs over the whole context, as libllama runs it.
constexpr std::array kFamilies{
    Family{.architecture = "exaone", .rope = RopeKind::neox, .fixed_rope_factors = true},
    Family{.architecture = "gemma",
           .rope = RopeKind::neox,
           .activation = Activation::gelu,
           .head = OutputHead::always_tied,
           .embeddings_by_sqrt = true},
    Family{.architecture = "gemma2",
           .rope = RopeKind::neox,
           .norms = NormPlacement::pre_post,
           .activation = Activation::gelu,
           .head = OutputHead::always_tied,
           .embeddings_by_sqrt = true,
           .sliding_period = 2,
           .default_window = 4096,
           .adjust = adjust_gemma2},
    Family{.architecture = "gemma3",
           .rope = RopeKind::neox,
           .norms = NormPlacement::pre_post,
           .activation = Activation::gelu,
           .qk_norm = QkNorm::per_head,
           .embeddings_by_sqrt = true,
           .sliding_period = 6,
           .adjust = adjust_gemma3},
    Family{.architecture = "granite",
           .fixed_rope_factors = true,
           .longrope_factors = true,
           .block_biases = true,
           .adjust = adjust_granite},
    Family{.architecture = "internlm2", .head = OutputHead::never_tied},
    Family{.architecture = "llama", .fixed_rope_factors = true, .longrope_factors = true, .block_biases = true},
    Family{.architecture = "mistral3",
           .fixed_rope_factors = true,
           .longrope_factors = true,
           .block_biases = true,
           .adjust = adjust_mistral3},
    Family{.architecture = "olmo2",
           .rope = RopeKind::neox,
           .norms = NormPlacement::post,
           .qk_norm = QkNorm::full,
           .head = OutputHead::never_tied,
           .sliding_period = 4,
           .adjust = adjust_olmo2},
    Family{.architecture = "phi3",
           .rope = RopeKind::neox,
           .fused_gate_up = true,
           .partial_rope = true,
           .longrope_factors = true},
    Family{.architecture = "qwen2", .rope = RopeKind::neox, .output_bias = true},
    Family{.architecture = "qwen3", .rope = RopeKind::neox, .qk_norm = QkNorm::per_head},
    Family{.architecture = "smollm3", .adjust = adjust_smollm3},
};

}  // namespace

std::span<const Family> families() noexcept { return kFamilies; }

const Family* find_family(std::string_view architecture) noexcept {
  const auto found = std::ranges::find(kFamilies, architecture, &Family::architecture);
  return found == kFamilies.end() ? nullptr : &*found;
}

std::string family_names() {
  std::string names;
  for (const Family& family : kFamilies) names += fmt::format("{}{}", names.empty() ? "" : ", ", family.architecture);
  return names;
}

Result<const Family*> family_of(const Gguf& gguf) {
  const GgufValue* value = gguf.find("general.architecture");
  const auto architecture = value == nullptr ? std::nullopt : value->as_string();
  if (!architecture) return fail(ErrorCode::corrupt, "The metadata key general.architecture is missing or no string.");
  const Family* family = find_family(*architecture);
  if (family == nullptr) {
    return fail(ErrorCode::unsupported, fmt::format("The architecture ({}) is not one that Driftwood runs: {}.",
                                                    architecture->substr(0, 64), family_names()));
  }
  return family;
}

}  // namespace driftwood
