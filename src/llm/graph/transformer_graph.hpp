// One pass of a model over a fixed number of tokens, built once and run often.
//
// Nothing is allocated or built by run(). One thread at a time; the Model and the
// Device must outlive it.
#pragma once

#include <memory>
#include <span>

#include "device/graph.hpp"
#include "llm/graph/build_context.hpp"
#include "llm/graph/kv_access.hpp"

namespace driftwood {

class TransformerGraph {
 public:
  /// `kv` and the place of the logits serve as the first binding; `packed` is borrowed and may be null. Device errors.
  static Result<std::unique_ptr<TransformerGraph>> create(const Model& model, const GraphShape& shape,
                                                          std::unique_ptr<KvAccess> access, const PackedWeights* packed,
                                                          const KvBinding& kv, std::size_t logits_offset);

  /// Runs the pass over shape.n_tokens tokens, each in the vocabulary. Logits go to `logits_offset` of the
  /// Import (f32 rows), unless the shape says host_logits or that there are none. Fails as Graph::run does.
  Result<void> run(std::span<const Token> tokens, const KvBinding& kv, std::size_t logits_offset,
                   const std::atomic<bool>* cancel);

  /// The logits of the last run, for a shape with host_logits; until the next run.
  std::span<const float> host_logits();

  std::size_t scratch_size() const noexcept { return graph_->scratch_size(); }

 private:
  TransformerGraph(const Model& model, const GraphShape& shape, std::unique_ptr<KvAccess> access,
                   const PackedWeights* packed)
      : shape_(shape), access_(std::move(access)), products_(model.hyperparameters(), packed) {}
  Result<void> build(const Model& model, Graph& graph, ggml_context* context, ggml_cgraph* nodes, const KvBinding& kv,
                     std::size_t logits_offset);

  GraphShape shape_;
  std::unique_ptr<KvAccess> access_;
  Products products_;
  std::unique_ptr<Graph> graph_;
  ggml_tensor* tokens_ = nullptr;     ///< i32 [n_tokens]
  ggml_tensor* positions_ = nullptr;  ///< i32 [n_tokens]
  ggml_tensor* logits_ = nullptr;     ///< f32 [n_vocab, rows]; null without outputs
  std::vector<std::int32_t> position_values_;
  std::vector<float> host_logits_;
};

}  // namespace driftwood
