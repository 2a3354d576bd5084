// Random models of any family, as GGUF files that libllama and Driftwood load and run.
//
// Weights are scaled so that activations stay near 1 through the layers and logits
// are spread over a few units: greedy choices are then stable. The same options and
// seed give the same bytes. The vocabulary is a small byte-level BPE with the tokens
// of ChatML, filled up with names that no text contains.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "tools/gguf_writer.hpp"

namespace driftwood::testing {

struct RandomModelOptions {
  std::string architecture = "llama";
  std::string name = "random";
  std::uint32_t n_layer = 2;
  std::uint32_t n_embd = 64;
  std::uint32_t n_head = 4;
  std::uint32_t n_head_kv = 2;
  std::uint32_t head_dim = 0;  ///< 0: n_embd / n_head
  std::uint32_t n_ff = 128;
  std::uint32_t n_vocab = 512;    ///< at least 320
  std::uint32_t n_tokenizer = 0;  ///< tokens of the tokenizer, for files that contradict themselves; 0: n_vocab
  std::uint32_t n_ctx = 512;
  ggml_type type = GGML_TYPE_F32;           ///< of matrices; where a row does not fit its blocks, q8_0 or f16
  std::optional<ggml_type> embedding_type;  ///< of token_embd.weight and output.weight, if another
  std::uint64_t seed = 1;

  bool tied_output = true;  ///< where the family leaves the choice
  bool fused_qkv = false;
  bool qkv_bias = false;
  bool block_biases = false;
  bool output_bias = false;
  std::uint32_t sliding_window = 0;  ///< 0: the file does not say
  std::uint32_t rope_dims = 0;       ///< 0: head_dim
  float rope_base = 10000.0F;
  std::string rope_scaling;  ///< "", "linear", "yarn" or "longrope"
  float rope_scaling_factor = 1.0F;
  std::uint32_t rope_original_ctx = 0;
  bool rope_factors = false;  ///< rope_freqs.weight, or with longrope (and for phi3) the long and short factors
};

/// Small options that use all that the family has: its norms, biases, sliding and rope-less layers, rope factors.
RandomModelOptions representative_options(std::string_view architecture);
/// "llama-3.2-1b" and "smollm2": the sizes of those models, in q4_0 with a q6_K (or q8_0) tied head.
/// not_found names them.
Result<RandomModelOptions> shape_options(std::string_view shape);

/// invalid_argument: an unknown architecture or impossible sizes.
Result<GgufWriter> random_model(const RandomModelOptions& options);
/// random_model, written to `path`.
Result<void> write_random_model(const RandomModelOptions& options, const std::filesystem::path& path);

}  // namespace driftwood::testing
