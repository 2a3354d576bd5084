// What the pieces of a transformer's graph share while it is being built.
//
// Lives for the length of one build. The pieces are free functions over it; each
// takes the tensor it works on and returns its result.
#pragma once

#include <ggml.h>

#include <compare>
#include <cstdint>
#include <string_view>

#include "llm/context.hpp"
#include "llm/graph/products.hpp"
#include "model/model.hpp"

namespace driftwood {

/// Which tokens of a pass get logits.
enum class OutputRows : std::uint8_t { none, last, all };

/// All that the nodes of a graph depend on: passes of one shape share a graph.
struct GraphShape {
  std::uint32_t n_tokens = 0;  ///< of the pass
  OutputRows rows = OutputRows::none;
  KvType kv_type = KvType::f16;
  bool long_rope = false;      ///< the Context is longer than the model's first training length
  bool host_logits = false;    ///< logits go to scratch memory, from where the host reads them
  std::uint32_t n_kv_max = 0;  ///< rows that the graph can reach; 0: any number

  friend auto operator<=>(const GraphShape&, const GraphShape&) = default;
};

struct BuildContext {
  ggml_context* ggml = nullptr;
  ggml_cgraph* nodes = nullptr;
  const Model* model = nullptr;
  const Hyperparameters* hyperparameters = nullptr;
  GraphShape shape;
  ggml_tensor* positions = nullptr;  ///< i32 [n_tokens]
  Products* products = nullptr;
};

/// "blk.L.NAME.weight".
ggml_tensor* weight_of(const BuildContext& build, std::uint32_t layer, std::string_view name);
/// input + "blk.L.NAME.bias"; `input` itself without `bias`.
ggml_tensor* biased(const BuildContext& build, ggml_tensor* input, std::uint32_t layer, std::string_view name,
                    bool bias);
/// The rows of `input` divided by their root mean square, times "blk.L.NAME.weight".
ggml_tensor* layer_norm(const BuildContext& build, ggml_tensor* input, std::uint32_t layer, std::string_view name);
/// input * factor; `input` itself when the factor is 1.
ggml_tensor* scaled(const BuildContext& build, ggml_tensor* input, float factor);
/// cap * tanh(input / cap) in place; `input` itself when the cap is 0.
ggml_tensor* soft_capped(const BuildContext& build, ggml_tensor* input, float cap);

}  // namespace driftwood
