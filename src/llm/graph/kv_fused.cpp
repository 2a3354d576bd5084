#include <vector>

#include "device/cpu/attention.hpp"
#include "llm/graph/kv_access.hpp"

namespace driftwood {

namespace {

class FusedKvAccess final : public KvAccess {
 public:
  Result<void> begin(const BuildContext& build, Graph&, const KvBinding& binding) override {
    const Hyperparameters& model = *build.hyperparameters;
    state_.token_stride = binding.layout.token_stride;
    state_.type = kv_ggml_type(binding.layout.kv_type);
    state_.spans.resize(1);
    stored_.resize(model.n_layer);
    nodes_.resize(model.n_layer);
    for (std::uint32_t layer = 0; layer < model.n_layer; ++layer) {
      nodes_[layer] = {
          .state = &state_,
          .layer_offset = binding.layout.layer_offset(layer),
          .row_bytes = binding.layout.row_bytes,
          .n_head = model.n_head,
          .n_head_kv = model.n_head_kv,
          .head_dim = model.head_dim,
          .sliding_window = layer_window(model, layer),
          .scale = model.attention_scale,
          .softcap = model.attention_softcap,
      };
    }
    return {};
  }

  void store(const BuildContext& build, std::uint32_t layer, ggml_tensor* k, ggml_tensor* v) override {
    stored_[layer] = cpu::store_kv(build.ggml, k, v, &nodes_[layer]);
    ggml_build_forward_expand(build.nodes, stored_[layer]);
  }

  ggml_tensor* attend(const BuildContext& build, std::uint32_t layer, ggml_tensor* q) override {
    if (!ggml_is_contiguous(q)) q = ggml_cont(build.ggml, q);
    return cpu::attention(build.ggml, q, stored_[layer], &nodes_[layer]);
  }

  Result<void> prepare(Graph&, const KvBinding& binding) override {
    state_.n_past = binding.n_past;
    state_.spans[0] = {
        .tokens = binding.memory->host() + binding.context_offset + binding.layout.kv_offset,
        .n_tokens = binding.layout.n_ctx,
    };
    return {};
  }

 private:
  cpu::KvState state_;
  std::vector<cpu::AttentionNode> nodes_;
  std::vector<ggml_tensor*> stored_;
};

}  // namespace

std::unique_ptr<KvAccess> make_fused_kv_access() { return std::make_unique<FusedKvAccess>(); }

}  // namespace driftwood
