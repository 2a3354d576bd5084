// How a graph writes and reads a Context's KV rows where they lie.
//
// Three ways, chosen by what the device can do:
//   fused  our operators on host threads; the graph is the same for every
//          number of past tokens
//   stock  ggml's own operators over strided views of the imported memory; what
//          GPUs run, and the reference for the other
//   mirrored  the same over a copy in the device's own memory (device/mirror), which
//          is written back after each pass
// An object belongs to one graph: it makes that graph's tensors while it is
// built, and points them at a Context before each run. One thread at a time.
#pragma once

#include <memory>
#include <span>

#include "device/graph.hpp"
#include "device/import.hpp"
#include "device/mirror/mirror_cache.hpp"
#include "llm/context.hpp"
#include "llm/graph/build_context.hpp"

namespace driftwood {

/// A Context that a run works on. Its rows of the pass follow one another, after those of the Contexts before it.
struct KvBinding {
  const Import* memory = nullptr;
  std::size_t context_offset = 0;  ///< of the header in `memory`
  ContextLayout layout;
  std::uint32_t n_past = 0;
  std::uint32_t n_tokens = 0;  ///< of the pass
};

class KvAccess {
 public:
  virtual ~KvAccess() = default;

  /// Makes what all layers share. `sequences`, here and in prepare(), share out the tokens of the pass; where the
  /// access takes one at a time, there is one.
  virtual Result<void> begin(const BuildContext& build, Graph& graph, std::span<const KvBinding> sequences) = 0;
  /// Appends the rows of `k` and `v`, f32 [head_dim, n_head_kv, n_tokens], to the graph's nodes.
  virtual void store(const BuildContext& build, std::uint32_t layer, ggml_tensor* k, ggml_tensor* v) = 0;
  /// Causal attention of `q`, f32 [head_dim, n_head, n_tokens], over all rows of `layer`, which was
  /// stored before: f32 [head_dim * n_head, n_tokens].
  virtual ggml_tensor* attend(const BuildContext& build, std::uint32_t layer, ggml_tensor* q) = 0;
  /// Points the graph at Contexts; before each run.
  virtual Result<void> prepare(Graph& graph, std::span<const KvBinding> sequences) = 0;
  /// After a run, with how it ended: what one that succeeded wrote is in the Contexts, and nothing of them is held.
  virtual Result<void> finish(Result<void> ran) { return ran; }
};

std::unique_ptr<KvAccess> make_fused_kv_access(Crew* crew);
std::unique_ptr<KvAccess> make_stock_kv_access();
/// ggml's operators over `mirrors` of the Contexts; they must outlive it.
std::unique_ptr<KvAccess> make_mirrored_kv_access(MirrorCache& mirrors);
/// What a pass over a Context reads and writes of its mirror.
MirrorCache::Request mirror_request(const KvBinding& binding);

/// The sliding window of a layer in tokens, the token itself included; 0: none.
inline std::uint32_t layer_window(const Hyperparameters& model, std::uint32_t layer) {
  return model.is_sliding(layer) ? model.sliding_window : 0;
}

inline ggml_type kv_ggml_type(KvType type) noexcept { return type == KvType::f16 ? GGML_TYPE_F16 : GGML_TYPE_Q8_0; }

}  // namespace driftwood
