// The two blocks of a transformer layer, for every family.
#pragma once

#include "llm/graph/build_context.hpp"
#include "llm/graph/kv_access.hpp"

namespace driftwood {

/// Queries, keys and values of `input` with norms and rope applied, keys and values stored: returns the queries,
/// f32 [head_dim, n_head, n_tokens].
ggml_tensor* project_and_store(const BuildContext& build, KvAccess& kv, std::uint32_t layer, Activations& input);
/// The residual stream, f32 [n_embd, n], plus what norm, gate, activation and down make of it.
ggml_tensor* feed_forward(const BuildContext& build, std::uint32_t layer, ggml_tensor* residual);
/// A whole layer over the residual stream. After the attention of the model's last one only the rows that get logits go
/// on; null comes back when there are none.
ggml_tensor* transformer_layer(const BuildContext& build, KvAccess& kv, std::uint32_t layer, ggml_tensor* residual);

}  // namespace driftwood
