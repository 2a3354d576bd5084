#include "llm/graph/transformer_graph.hpp"

#include "llm/graph/layer.hpp"

namespace driftwood {

namespace {

// A layer takes fewer tensors than this in every family; the embedding and the head fit the rest.
constexpr std::size_t kTensorsPerLayer = 64;

ggml_tensor* embed(const BuildContext& build, ggml_tensor* tokens) {
  ggml_tensor* rows = ggml_get_rows(build.ggml, build.model->weight("token_embd.weight"), tokens);
  return scaled(build, rows, build.hyperparameters->embedding_scale);
}

struct Head {
  ggml_tensor* product;  ///< owns the logits' memory
  ggml_tensor* logits;   ///< the last node, a view of it
};

Head language_head(const BuildContext& build, ggml_tensor* rows) {
  const Hyperparameters& model = *build.hyperparameters;
  Activations x = build.products->normed(rows, build.model->weight("output_norm.weight"));
  ggml_tensor* product = build.products->product(build.ggml, x, build.model->weight("output.weight"));
  ggml_tensor* logits = product;
  if (model.output_bias) logits = ggml_add_inplace(build.ggml, logits, build.model->weight("output.bias"));
  if (model.logit_scale != 1.0F) logits = ggml_scale_inplace(build.ggml, logits, model.logit_scale);
  return {product, soft_capped(build, logits, model.final_softcap)};
}

}  // namespace

Result<std::unique_ptr<TransformerGraph>> TransformerGraph::create(const Model& model, const GraphShape& shape,
                                                                   std::unique_ptr<KvAccess> access,
                                                                   const PackedWeights* packed,
                                                                   const PassInput& first) {
  std::unique_ptr<TransformerGraph> self(new TransformerGraph(model, shape, std::move(access), packed));
  const std::size_t max_tensors = kTensorsPerLayer * (std::size_t{model.hyperparameters().n_layer} + 1);
  DW_TRY_ASSIGN(self->graph_, Graph::create(model.device(), max_tensors,
                                            [&](Graph& graph, ggml_context* context, ggml_cgraph* nodes) {
                                              return self->build(model, graph, context, nodes, first);
                                            }));
  self->position_values_.resize(shape.n_tokens);
  return self;
}

Result<void> TransformerGraph::build(const Model& model, Graph& graph, ggml_context* context, ggml_cgraph* nodes,
                                     const PassInput& first) {
  const auto input = [context](std::uint32_t n) {
    ggml_tensor* made = ggml_new_tensor_1d(context, GGML_TYPE_I32, n);
    ggml_set_input(made);
    return made;
  };
  tokens_ = input(shape_.n_tokens);
  positions_ = input(shape_.n_tokens);
  if (shape_.n_outputs != 0 && shape_.n_outputs != shape_.n_tokens) output_rows_ = input(shape_.n_outputs);
  const BuildContext build{context,
                           nodes,
                           &model,
                           &model.hyperparameters(),
                           shape_,
                           positions_,
                           output_rows_,
                           &products_,
                           layer_parts_ == 1 ? nullptr : &graph};
  DW_TRY(access_->begin(build, graph, first.sequences));

  ggml_tensor* residual = embed(build, tokens_);
  for (std::uint32_t layer = 0; layer < model.hyperparameters().n_layer; ++layer) {
    if (shape_.by_layers && layer != 0) {
      ggml_build_forward_expand(nodes, residual);
      graph.cut(nodes);
    }
    residual = transformer_layer(build, *access_, layer, residual);
  }
  if (residual == nullptr) return {};

  const Head head = language_head(build, residual);
  logits_ = head.product;
  switch (shape_.logits) {
    case LogitsPlace::bound: DW_TRY(graph.bind(logits_, *first.sequences.front().memory, first.logits_offset)); break;
    case LogitsPlace::host: ggml_set_output(logits_); break;
    case LogitsPlace::delivered: ggml_build_forward_expand(nodes, deliver(context, head.logits, &delivery_)); break;
  }
  ggml_build_forward_expand(nodes, head.logits);
  return {};
}

Result<void> TransformerGraph::set_inputs(const PassInput& input) {
  DW_CHECK(input.tokens.size() == shape_.n_tokens && input.output_rows.size() == shape_.n_outputs);
  auto position = position_values_.begin();
  for (const KvBinding& sequence : input.sequences) {
    for (std::uint32_t i = 0; i < sequence.n_tokens; ++i) {
      *position++ = static_cast<std::int32_t>(sequence.n_past + i);
    }
  }
  DW_CHECK(position == position_values_.end());
  DW_TRY(graph_->set(tokens_, input.tokens));
  DW_TRY(graph_->set(positions_, std::span<const std::int32_t>(position_values_)));
  if (output_rows_ != nullptr) DW_TRY(graph_->set(output_rows_, input.output_rows));
  return {};
}

Result<void> TransformerGraph::point_at(const PassInput& input) {
  DW_TRY(access_->prepare(*graph_, input.sequences));
  if (logits_ != nullptr && shape_.logits == LogitsPlace::bound) {
    DW_TRY(graph_->bind(logits_, *input.sequences.front().memory, input.logits_offset));
  }
  delivery_.rows.assign(input.destinations.begin(), input.destinations.end());
  return {};
}

Result<void> TransformerGraph::run(const PassInput& input, const std::atomic<bool>* cancel) {
  const auto run = [&]() -> Result<void> {
    DW_TRY(set_inputs(input));
    DW_TRY(point_at(input));
    return graph_->run(cancel);
  };
  return access_->finish(run());
}

Result<std::uint32_t> TransformerGraph::run_parts(const PassInput& input, std::uint32_t begin, std::uint32_t end,
                                                  const std::atomic<bool>* cancel, const std::atomic<bool>* yield) {
  std::uint32_t part = begin;
  const auto run = [&]() -> Result<void> {
    if (begin == 0) DW_TRY(set_inputs(input));
    DW_TRY(point_at(input));
    if (yield == nullptr) {
      part = end;
      return begin == 0 && end == n_parts() ? graph_->run(cancel) : graph_->run_parts(begin, end, cancel);
    }
    do {
      DW_TRY(graph_->run_parts(part, part + 1, cancel));
    } while (++part < end && !yield->load(std::memory_order_relaxed));
    return {};
  };
  DW_TRY(access_->finish(run()));
  return part;
}

Result<std::span<const float>> TransformerGraph::host_logits() {
  DW_CHECK(shape_.logits == LogitsPlace::host && logits_ != nullptr);
  const auto count = static_cast<std::size_t>(ggml_nelements(logits_));
  if (host_addresses_ && ggml_backend_buffer_is_host(logits_->buffer)) {
    return std::span(static_cast<const float*>(logits_->data), count);
  }
  host_logits_.resize(count);
  DW_TRY(graph_->get(logits_, std::span(host_logits_)));
  return host_logits_;
}

}  // namespace driftwood
