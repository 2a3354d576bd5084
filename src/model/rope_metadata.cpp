#include "model/rope_metadata.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>

namespace driftwood {
namespace {

/// Yarn's magnitude for a context stretched by `factor` (arXiv 2309.00071, section 3.4).
float magnitude(float factor, float multiplier) {
  return factor <= 1.0F ? 1.0F : 0.1F * multiplier * std::log(factor) + 1.0F;
}

/// ggml's rope multiplies by 1 + 0.1 ln(factor) where yarn is on, whatever the model asks for: that is taken back.
float yarn_attention_factor(float factor, float wanted, float trained) {
  return wanted / (1.0F + 0.1F * std::log(factor)) * trained;
}

Result<void> check_positive(const Metadata& metadata, std::string_view key, float value) {
  if (value > 0.0F) return {};
  return fail(ErrorCode::corrupt, fmt::format("{} ({}) is not above 0.", metadata.full_key(key), value));
}

Result<float> trained_attention_factor(const Metadata& metadata) {
  float factor = 1.0F;
  DW_TRY(metadata.number_into("rope.scaling.attn_factor", factor));
  DW_TRY(check_positive(metadata, "rope.scaling.attn_factor", factor));
  return factor;
}

void use_everywhere(Hyperparameters& hp) {
  hp.rope_base_local = hp.rope_base;
  hp.rope_scale_local = hp.rope_scale;
  hp.rope_ext_factor_local = hp.rope_ext_factor;
  hp.rope_attn_factor_local = hp.rope_attn_factor;
}

}  // namespace

Result<std::string_view> rope_scaling_type(const Metadata& metadata) {
  DW_TRY_ASSIGN(const auto type, metadata.text("rope.scaling.type"));
  return type.value_or("linear");
}

Result<void> read_rope(const Metadata& metadata, Hyperparameters& hp) {
  DW_TRY(metadata.number_into("rope.freq_base", hp.rope_base));
  DW_TRY(check_positive(metadata, "rope.freq_base", hp.rope_base));

  DW_TRY_ASSIGN(const auto original, metadata.integer("rope.scaling.original_context_length", INT32_MAX));
  hp.rope_original_ctx = original.value_or(hp.n_ctx_train);
  if (hp.rope_original_ctx == 0) hp.rope_original_ctx = hp.n_ctx_train;

  float factor = 0.0F;
  DW_TRY(metadata.number_into("rope.scale_linear", factor));
  DW_TRY(metadata.number_into("rope.scaling.factor", factor));
  if (factor == 0.0F) factor = 1.0F;
  DW_TRY(check_positive(metadata, "rope.scaling.factor", factor));

  DW_TRY_ASSIGN(const auto type, rope_scaling_type(metadata));
  if (type != "none" && type != "linear" && type != "yarn" && type != "longrope") {
    return fail(ErrorCode::unsupported, fmt::format("{} ({}) is not none, linear, yarn or longrope.",
                                                    metadata.full_key("rope.scaling.type"), type.substr(0, 64)));
  }
  if (type == "none") factor = 1.0F;
  hp.rope_scale = 1.0F / factor;

  DW_TRY_ASSIGN(hp.rope_attn_factor, trained_attention_factor(metadata));
  if (type == "yarn") {
    hp.rope_ext_factor = 1.0F;
    hp.rope_attn_factor = yarn_attention_factor(factor, magnitude(factor, 1.0F), hp.rope_attn_factor);
  }
  use_everywhere(hp);
  return {};
}

Result<void> read_explicit_yarn(const Metadata& metadata, Hyperparameters& hp) {
  DW_TRY(metadata.number_into("rope.scaling.yarn_beta_fast", hp.rope_beta_fast));
  DW_TRY(metadata.number_into("rope.scaling.yarn_beta_slow", hp.rope_beta_slow));
  float multiplier = 0.0F;
  DW_TRY(metadata.number_into("rope.scaling.yarn_log_multiplier", multiplier));
  if (hp.rope_ext_factor != 0.0F && multiplier != 0.0F) {
    const float factor = 1.0F / hp.rope_scale;
    DW_TRY_ASSIGN(const float trained, trained_attention_factor(metadata));
    hp.rope_attn_factor =
        yarn_attention_factor(factor, magnitude(factor, 1.0F) / magnitude(factor, multiplier), trained);
    use_everywhere(hp);
  }
  return {};
}

}  // namespace driftwood
