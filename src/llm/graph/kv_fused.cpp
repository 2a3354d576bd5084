#include <algorithm>
#include <vector>

#include "device/cpu/attention.hpp"
#include "llm/graph/kv_access.hpp"
#include "llm/graph/kv_spans.hpp"

namespace driftwood {

namespace {

class FusedKvAccess final : public KvAccess {
 public:
  explicit FusedKvAccess(Crew* crew) : state_(crew) {}

  Result<void> begin(const BuildContext& build, Graph&, std::span<const KvBinding>) override {
    const Hyperparameters& model = *build.hyperparameters;
    heads_ = {model.n_head, model.n_head_kv, model.head_dim};
    threads_ = static_cast<std::uint32_t>(build.model->device().info().threads);
    stored_.resize(model.n_layer);
    nodes_.resize(model.n_layer);
    for (std::uint32_t layer = 0; layer < model.n_layer; ++layer) {
      const std::uint32_t window = layer_window(model, layer);
      nodes_[layer] = {.state = &state_,
                       .layer = layer,
                       .heads = heads_,
                       .sliding_window = window,
                       .scale = model.attention_scale,
                       .softcap = model.attention_softcap};
      if (std::ranges::find(windows_, window) == windows_.end()) windows_.push_back(window);
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

  Result<void> prepare(Graph&, std::span<const KvBinding> sequences) override {
    state_.sequences.resize(sequences.size());
    for (std::size_t i = 0; i < sequences.size(); ++i) find_kv_rows(sequences[i], state_.sequences[i]);
    state_.plan(heads_, windows_, threads_);
    return {};
  }

 private:
  cpu::KvState state_;
  cpu::AttentionHeads heads_;
  std::uint32_t threads_ = 1;
  std::vector<std::uint32_t> windows_;  ///< of the layers, each once
  std::vector<cpu::AttentionNode> nodes_;
  std::vector<ggml_tensor*> stored_;
};

}  // namespace

std::unique_ptr<KvAccess> make_fused_kv_access(Crew* crew) { return std::make_unique<FusedKvAccess>(crew); }

}  // namespace driftwood
