// The table of architectures: what each one is, beside the numbers in its files.
//
// A new architecture is one row here, where its graph is made of the parts that
// Hyperparameters can say. What a file holds and no graph of ours computes is
// refused by name: wrong numbers are worse than none. Every row is held to
// libllama's logits by a test. Constant; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "model/gguf.hpp"
#include "model/hyperparameters.hpp"
#include "model/metadata.hpp"

namespace driftwood {

/// Whether a family's files carry output.weight.
enum class OutputHead : std::uint8_t { optional, always_tied, never_tied };
enum class QkNorm : std::uint8_t { none, per_head, full };

struct Family {
  std::string_view architecture;  ///< general.architecture
  RopeKind rope = RopeKind::normal;
  NormPlacement norms = NormPlacement::pre;
  Activation activation = Activation::silu;
  QkNorm qk_norm = QkNorm::none;
  OutputHead head = OutputHead::optional;
  bool fused_gate_up = false;
  bool embeddings_by_sqrt = false;   ///< multiplied by sqrt(n_embd)
  bool partial_rope = false;         ///< rope_dims may be less than head_dim
  bool fixed_rope_factors = false;   ///< may have rope_freqs.weight
  bool longrope_factors = false;     ///< may have rope_factors_long/short.weight when scaling is "longrope"
  bool block_biases = false;         ///< may have biases at the attention's output and in the feed-forward
  bool output_bias = false;          ///< may have output.bias
  std::uint32_t sliding_period = 0;  ///< every n-th layer sees everything, the others a window; 0: windows are ignored
  std::uint32_t default_window = 0;  ///< where a file does not say; 0: no window then
  /// What only this family has.
  Result<void> (*adjust)(const Metadata& metadata, Hyperparameters& hyperparameters) = nullptr;
};

std::span<const Family> families() noexcept;
/// Null when the table has no such row.
const Family* find_family(std::string_view architecture) noexcept;
/// "gemma, gemma2, ...": for messages.
std::string family_names();

/// The family of a file. corrupt: it does not say; unsupported: not in the table, naming those that are.
Result<const Family*> family_of(const Gguf& gguf);
/// All fields, from metadata and from which tensors are there. corrupt: missing or impossible numbers;
/// unsupported: something that the family's graph does not compute.
Result<Hyperparameters> read_hyperparameters(const Gguf& gguf, const Family& family);

}  // namespace driftwood
