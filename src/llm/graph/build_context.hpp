// What the pieces of a transformer's graph share while it is being built.
//
// Lives for the length of one build. The pieces are free functions over it; each
// takes the tensor it works on and returns its result.
#pragma once

#include <ggml.h>

#include <compare>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "device/graph.hpp"
#include "llm/context.hpp"
#include "llm/graph/products.hpp"
#include "model/model.hpp"

namespace driftwood {

/// Where a pass puts its logits.
enum class LogitsPlace : std::uint8_t {
  bound,      ///< straight into memory, row after row
  host,       ///< into scratch memory, from where the host reads them
  delivered,  ///< each row to a destination of its own, by host threads
};

/// All that the nodes of a graph depend on: passes of one shape share a graph.
struct GraphShape {
  std::uint32_t n_tokens = 0;   ///< of the pass
  std::uint32_t n_outputs = 0;  ///< tokens that get logits
  LogitsPlace logits = LogitsPlace::bound;
  KvType kv_type = KvType::f16;  ///< where the access makes tensors of it
  std::uint32_t kv_stride = 0;   ///< likewise: ContextLayout::token_stride
  bool long_rope = false;        ///< the Context is longer than the model's first training length
  std::uint32_t n_kv_max = 0;    ///< rows that the graph can reach; 0: any number
  bool by_layers = false;        ///< layers may run one after another, with others' passes in between

  friend auto operator<=>(const GraphShape&, const GraphShape&) = default;
};

struct BuildContext {
  ggml_context* ggml = nullptr;
  ggml_cgraph* nodes = nullptr;
  const Model* model = nullptr;
  const Hyperparameters* hyperparameters = nullptr;
  GraphShape shape;
  ggml_tensor* positions = nullptr;    ///< i32 [n_tokens]
  ggml_tensor* output_rows = nullptr;  ///< i32 [n_outputs]: which tokens get logits; null where all do, or none
  Products* products = nullptr;
  Graph* cut_layers = nullptr;  ///< whose parts end within layers, too; null: they do not
};

/// A place within a layer where a part may end: what comes after it needs these tensors and no others.
void may_end_part(const BuildContext& build, std::initializer_list<ggml_tensor*> tensors);

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
