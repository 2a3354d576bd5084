#include <vector>

#include "device/cpu/attention.hpp"
#include "llm/graph/kv_access.hpp"

namespace driftwood {

namespace {

class FusedKvAccess final : public KvAccess {
 public:
  Result<void> begin(const BuildContext& build, Graph&, std::span<const KvBinding> sequences) override {
    const KvBinding& binding = sequences.front();
    const Hyperparameters& model = *build.hyperparameters;
    state_.token_stride = binding.layout.token_stride;
    state_.type = kv_ggml_type(binding.layout.kv_type);
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

  Result<void> prepare(Graph&, std::span<const KvBinding> sequences) override {
    const KvBinding& binding = sequences.front();
    state_.n_past = binding.n_past;
    const std::size_t records = binding.context_offset + binding.layout.kv_offset;
    state_.pass = binding.memory->host() + records + binding.n_past * state_.token_stride;
    state_.spans.clear();
    read_through_image(binding, records);
    add_span(binding.memory->host() + records + read_ * state_.token_stride, binding.layout.n_ctx - read_);
    return {};
  }

 private:
  /// Adds spans for past tokens from number read_ on, as far as whole records of them are clean.
  void read_through_image(const KvBinding& binding, std::size_t records) {
    read_ = 0;
    const Region* region = binding.memory->region();
    if (region == nullptr || binding.n_past == 0) return;
    const std::size_t stride = state_.token_stride;
    const std::byte* own = binding.memory->host() + records;
    const std::size_t begin = binding.memory->region_offset() + records;
    for (const auto& [range, at] : region->clean_pieces({begin, binding.n_past * stride})) {
      const std::size_t from = range.offset - begin;
      const auto first = static_cast<std::uint32_t>((from + stride - 1) / stride);
      const auto end = static_cast<std::uint32_t>((from + range.size) / stride);
      if (first >= end) continue;
      // Records that lie in two pieces, or were written since, are whole in the actor's own mapping only.
      if (first > read_) add_span(own + read_ * stride, first - read_);
      add_span(at + (first * stride - from), end - first);
      read_ = end;
    }
  }

  void add_span(const std::byte* tokens, std::uint32_t n_tokens) {
    if (n_tokens != 0) state_.spans.push_back({tokens, n_tokens});
  }

  cpu::KvState state_;
  std::uint32_t read_ = 0;  ///< tokens that have a span
  std::vector<cpu::AttentionNode> nodes_;
  std::vector<ggml_tensor*> stored_;
};

}  // namespace

std::unique_ptr<KvAccess> make_fused_kv_access() { return std::make_unique<FusedKvAccess>(); }

}  // namespace driftwood
