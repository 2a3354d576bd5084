// One pass of a model over a fixed number of tokens, built once and run often.
//
// Nothing is allocated or built by run(). One thread at a time; the Model and the
// Device must outlive it.
#pragma once

#include <memory>
#include <span>

#include "device/graph.hpp"
#include "llm/graph/build_context.hpp"
#include "llm/graph/delivery.hpp"
#include "llm/graph/kv_access.hpp"

namespace driftwood {

/// What one run reads and writes. Sequences share out the tokens, in their order.
struct PassInput {
  std::span<const Token> tokens;                 ///< each in the vocabulary
  std::span<const KvBinding> sequences;          ///< the first one's memory is where bound logits go
  std::span<const std::int32_t> output_rows;     ///< tokens of the pass that have logits, rising
  std::size_t logits_offset = 0;                 ///< LogitsPlace::bound
  std::span<const RowDestination> destinations;  ///< LogitsPlace::delivered: one for each output row
};

class TransformerGraph {
 public:
  /// `first` serves as the first binding; `packed` is borrowed and may be null. Device errors.
  static Result<std::unique_ptr<TransformerGraph>> create(const Model& model, const GraphShape& shape,
                                                          std::unique_ptr<KvAccess> access, const PackedWeights* packed,
                                                          const PassInput& first);

  /// Runs the pass over input that has the graph's shape. Fails as Graph::run does.
  Result<void> run(const PassInput& input, const std::atomic<bool>* cancel);
  /// Of a shape by layers, which is run by parts: each is a layer, or of a large pass less. The last one has what comes
  /// after the layers.
  std::uint32_t n_parts() const noexcept { return graph_->n_parts(); }
  /// Parts before so many layers have ended, and layers that have ended with so many parts.
  std::uint32_t parts_of(std::uint32_t n_layers) const noexcept {
    return n_layers == n_layer_ ? n_parts() : n_layers * layer_parts_;
  }
  std::uint32_t layers_of(std::uint32_t n_parts) const noexcept { return n_parts / layer_parts_; }
  /// Runs parts from number `begin` to before `end`, or, once `*yield` is true, at least one. The first ones come
  /// first, and with the same input for all. The next one's number. Fails as Graph::run does.
  Result<std::uint32_t> run_parts(const PassInput& input, std::uint32_t begin, std::uint32_t end,
                                  const std::atomic<bool>* cancel, const std::atomic<bool>* yield);

  /// The logits of the last run, for LogitsPlace::host; until the next run.
  Result<std::span<const float>> host_logits();

  std::size_t scratch_size() const noexcept { return graph_->scratch_size(); }

 private:
  /// Of fewer tokens, a layer takes not so long that it had to be cut, and to start more parts would show.
  static constexpr std::uint32_t kTokensOfCutLayers = 128;

  TransformerGraph(const Model& model, const GraphShape& shape, std::unique_ptr<KvAccess> access,
                   const PackedWeights* packed)
      : shape_(shape),
        n_layer_(model.hyperparameters().n_layer),
        layer_parts_(shape.by_layers && shape.n_tokens >= kTokensOfCutLayers ? 3 : 1),
        host_addresses_(model.device().info().capabilities.host_addresses),
        access_(std::move(access)),
        products_(model.hyperparameters(), packed, model.device().info().capabilities.bf16_products_from,
                  model.device().crew()),
        delivery_(model.device().crew()) {}
  Result<void> build(const Model& model, Graph& graph, ggml_context* context, ggml_cgraph* nodes,
                     const PassInput& first);
  /// What lies in scratch memory, before a run.
  Result<void> set_inputs(const PassInput& input);
  /// What lies in Contexts and requests, which may have other addresses than before.
  Result<void> point_at(const PassInput& input);

  GraphShape shape_;
  std::uint32_t n_layer_;
  std::uint32_t layer_parts_;  ///< of each but the last layer, which may have fewer
  bool host_addresses_;        ///< of the device's tensors
  std::unique_ptr<KvAccess> access_;
  Products products_;
  DeliveryNode delivery_;
  std::unique_ptr<Graph> graph_;
  ggml_tensor* tokens_ = nullptr;       ///< i32 [n_tokens]
  ggml_tensor* positions_ = nullptr;    ///< i32 [n_tokens]
  ggml_tensor* output_rows_ = nullptr;  ///< i32 [n_outputs]; null where all tokens or none have logits
  ggml_tensor* logits_ = nullptr;       ///< f32 [n_vocab, n_outputs]; null without outputs
  std::vector<std::int32_t> position_values_;
  std::vector<float> host_logits_;
};

}  // namespace driftwood
