#include "tools/random_model.hpp"

#include <fmt/format.h>

#include <cmath>
#include <span>
#include <utility>

#include "model/family.hpp"
#include "model/weights.hpp"
#include "tools/random_weights.hpp"
#include "tools/synthetic_vocabulary.hpp"

namespace driftwood::testing {
namespace {

/// `type`, or the nearest one whose blocks a row of `columns` fills.
ggml_type fitting_type(ggml_type type, std::int64_t columns) {
  if (columns % ggml_blck_size(type) == 0) return type;
  return columns % ggml_blck_size(GGML_TYPE_Q8_0) == 0 ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
}

Result<void> check(const RandomModelOptions& o) {
  const auto invalid = [](std::string message) { return fail(ErrorCode::invalid_argument, std::move(message)); };
  if (find_family(o.architecture) == nullptr) {
    return invalid(fmt::format("The architecture ({}) is not one of {}.", o.architecture, family_names()));
  }
  if (o.n_layer == 0 || o.n_embd == 0 || o.n_head == 0 || o.n_head_kv == 0 || o.n_ff == 0 || o.n_ctx == 0) {
    return invalid("Layers, sizes, heads and the context must be at least 1.");
  }
  if (o.n_head % o.n_head_kv != 0) {
    return invalid(fmt::format("The heads ({}) are no multiple of the key-value heads ({}).", o.n_head, o.n_head_kv));
  }
  if (o.head_dim == 0 && o.n_embd % o.n_head != 0) {
    return invalid(fmt::format("The width ({}) is no multiple of the heads ({}).", o.n_embd, o.n_head));
  }
  if (o.n_vocab < kMinVocabulary) {
    return invalid(fmt::format("The vocabulary ({}) is smaller than {}.", o.n_vocab, kMinVocabulary));
  }
  return {};
}

/// What weight_specs needs to know.
Hyperparameters sizes_of(const RandomModelOptions& o, const Family& family) {
  Hyperparameters hp;
  hp.n_vocab = o.n_vocab;
  hp.n_embd = o.n_embd;
  hp.n_layer = o.n_layer;
  hp.n_head = o.n_head;
  hp.n_head_kv = o.n_head_kv;
  hp.head_dim = o.head_dim != 0 ? o.head_dim : o.n_embd / o.n_head;
  hp.n_ff = o.n_ff;
  hp.rope_dims = o.rope_dims != 0 ? o.rope_dims : hp.head_dim;
  hp.norm_placement = family.norms;
  hp.qk_norm = family.qk_norm == QkNorm::per_head;
  hp.qk_norm_full = family.qk_norm == QkNorm::full;
  hp.fused_qkv = o.fused_qkv;
  hp.fused_gate_up = family.fused_gate_up;
  hp.qkv_bias = o.qkv_bias;
  hp.attn_output_bias = o.block_biases && family.block_biases;
  hp.ffn_bias = o.block_biases && family.block_biases;
  hp.output_bias = o.output_bias && family.output_bias;
  hp.tied_output = family.head == OutputHead::always_tied || (family.head == OutputHead::optional && o.tied_output);
  if (o.rope_factors) {
    const bool by_context = family.longrope_factors && (o.rope_scaling == "longrope" || !family.fixed_rope_factors);
    hp.rope_factors = by_context ? RopeFactors::by_context : RopeFactors::fixed;
  }
  return hp;
}

void add_metadata(GgufWriter& writer, const RandomModelOptions& o, const Hyperparameters& hp) {
  const auto key = [&](std::string_view suffix) { return fmt::format("{}.{}", o.architecture, suffix); };
  writer.add("general.architecture", std::string_view(o.architecture));
  writer.add("general.name", std::string_view(o.name));
  writer.add(key("context_length"), o.n_ctx);
  writer.add(key("embedding_length"), o.n_embd);
  writer.add(key("block_count"), o.n_layer);
  writer.add(key("feed_forward_length"), o.n_ff);
  writer.add(key("attention.head_count"), o.n_head);
  writer.add(key("attention.head_count_kv"), o.n_head_kv);
  writer.add(key("attention.key_length"), hp.head_dim);
  writer.add(key("attention.value_length"), hp.head_dim);
  writer.add(key("attention.layer_norm_rms_epsilon"), 1e-5F);
  writer.add(key("vocab_size"), o.n_vocab);
  writer.add(key("rope.dimension_count"), hp.rope_dims);
  writer.add(key("rope.freq_base"), o.rope_base);
  if (o.sliding_window != 0) writer.add(key("attention.sliding_window"), o.sliding_window);
  if (!o.rope_scaling.empty()) {
    writer.add(key("rope.scaling.type"), std::string_view(o.rope_scaling));
    writer.add(key("rope.scaling.factor"), o.rope_scaling_factor);
  }
  if (o.rope_original_ctx != 0) writer.add(key("rope.scaling.original_context_length"), o.rope_original_ctx);
  if (o.architecture == "granite") {
    writer.add(key("logit_scale"), 2.0F);
    writer.add(key("attention.scale"), 0.2F);
    writer.add(key("residual_scale"), 0.5F);
    writer.add(key("embedding_scale"), 3.0F);
  }
  if (o.architecture == "gemma2") {
    writer.add(key("attn_logit_softcapping"), 5.0F);
    writer.add(key("final_logit_softcapping"), 8.0F);
  }
  if (o.architecture == "mistral3" && o.rope_scaling == "yarn") {
    writer.add(key("rope.scaling.yarn_log_multiplier"), 0.5F);
    writer.add(key("rope.scaling.yarn_beta_fast"), 16.0F);
    writer.add(key("rope.scaling.yarn_beta_slow"), 2.0F);
  }
}

struct Spread {
  float mean;
  float deviation;
};

Spread spread_of(const WeightSpec& spec, const Hyperparameters& hp) {
  if (spec.name.starts_with("rope_"))
    return spec.name.find("short") == std::string::npos ? Spread{4, 1} : Spread{1.2F, 0.1F};
  if (spec.name.ends_with("norm.weight")) return {1.0F, 0.1F};
  if (!spec.is_matrix) return {0.0F, 0.1F};
  const bool makes_logits = spec.name == "output.weight" || spec.name == "token_embd.weight";
  return {0.0F, (makes_logits ? 2.5F : 1.0F) / std::sqrt(static_cast<float>(makes_logits ? hp.n_embd : spec.shape[0]))};
}

}  // namespace

RandomModelOptions representative_options(std::string_view architecture) {
  RandomModelOptions o;
  o.architecture = architecture;
  const Family* family = find_family(architecture);
  if (family == nullptr) return o;
  o.rope_factors = family->fixed_rope_factors;
  o.block_biases = family->block_biases;
  o.output_bias = family->output_bias;
  o.qkv_bias = architecture == "qwen2";
  if (family->qk_norm == QkNorm::per_head) o.head_dim = 32;  // unequal to n_embd / n_head
  if (family->sliding_period != 0) {
    o.sliding_window = 8;
    o.n_layer = family->sliding_period + 1;
  }
  if (architecture == "gemma3") {
    o.rope_base = 100000.0F;
    o.rope_scaling = "linear";
    o.rope_scaling_factor = 8.0F;
  } else if (architecture == "mistral3" || architecture == "olmo2") {
    o.rope_factors = false;
    o.rope_scaling = "yarn";
    o.rope_scaling_factor = 4.0F;
    o.rope_original_ctx = 128;
  } else if (architecture == "phi3") {
    o.fused_qkv = true;
    o.rope_dims = 8;
    o.rope_factors = true;
    o.rope_scaling = "longrope";
    o.rope_original_ctx = 64;
  } else if (architecture == "smollm3") {
    o.n_layer = 5;
  }
  return o;
}

Result<RandomModelOptions> shape_options(std::string_view shape) {
  RandomModelOptions o;
  o.name = fmt::format("random {}", shape);
  o.type = GGML_TYPE_Q4_0;
  o.embedding_type = GGML_TYPE_Q6_K;
  if (shape == "llama-3.2-1b") {
    o.n_layer = 16;
    o.n_embd = 2048;
    o.n_head = 32;
    o.n_head_kv = 8;
    o.n_ff = 8192;
    o.n_vocab = 128256;
    o.n_ctx = 131072;
    o.rope_base = 500000.0F;
    o.rope_factors = true;
    return o;
  }
  if (shape == "smollm2") {
    o.n_layer = 30;
    o.n_embd = 576;
    o.n_head = 9;
    o.n_head_kv = 3;
    o.n_ff = 1536;
    o.n_vocab = 49152;
    o.n_ctx = 8192;
    o.rope_base = 100000.0F;
    return o;
  }
  return fail(ErrorCode::not_found, fmt::format("The shape ({}) is neither llama-3.2-1b nor smollm2.", shape));
}

Result<GgufWriter> random_model(const RandomModelOptions& options) {
  DW_TRY(check(options));
  const Hyperparameters hp = sizes_of(options, *find_family(options.architecture));
  GgufWriter writer;
  add_metadata(writer, options, hp);
  add_synthetic_vocabulary(writer, options.n_tokenizer != 0 ? options.n_tokenizer : options.n_vocab);
  std::uint64_t index = 0;
  for (const WeightSpec& spec : weight_specs(hp)) {
    const bool embedding = spec.name == "output.weight" || spec.name == "token_embd.weight";
    const ggml_type wanted = embedding ? options.embedding_type.value_or(options.type) : options.type;
    const ggml_type type = spec.is_matrix ? fitting_type(wanted, spec.shape[0]) : GGML_TYPE_F32;
    const auto [mean, deviation] = spread_of(spec, hp);
    const std::uint64_t seed = options.seed * 1'000'003 + index++;
    std::vector<std::int64_t> shape{spec.shape[0]};
    if (spec.is_matrix) shape.push_back(spec.shape[1]);
    writer.add_tensor(spec.name, type, std::move(shape), [=, columns = spec.shape[0]](std::span<std::byte> data) {
      fill_random(data, type, columns, mean, deviation, seed);
    });
  }
  return writer;
}

Result<void> write_random_model(const RandomModelOptions& options, const std::filesystem::path& path) {
  DW_TRY_ASSIGN(const GgufWriter writer, random_model(options));
  return writer.write(path);
}

}  // namespace driftwood::testing
