#include <algorithm>
#include <vector>

#include "device/cpu/attention.hpp"
#include "llm/graph/kv_access.hpp"

namespace driftwood {

namespace {

/// The spans of one sequence, in order: past tokens as far as they are clean through the Image, the rest where it is.
class SpanList {
 public:
  SpanList(const KvBinding& binding, std::vector<cpu::KvSpan>& spans)
      : binding_(binding),
        records_(binding.context_offset + binding.layout.kv_offset),
        own_(binding.memory->host() + records_),
        spans_(spans) {}

  void make() {
    spans_.clear();
    read_through_image();
    add(own_ + read_ * binding_.layout.token_stride, binding_.layout.n_ctx - read_);
  }
  std::byte* first_of_pass() const { return own_ + std::size_t{binding_.n_past} * binding_.layout.token_stride; }

 private:
  /// Adds spans for past tokens from number read_ on, as far as whole records of them are clean.
  void read_through_image() {
    const Region* region = binding_.memory->region();
    if (region == nullptr || binding_.n_past == 0) return;
    const std::size_t stride = binding_.layout.token_stride;
    const std::size_t begin = binding_.memory->region_offset() + records_;
    for (const auto& [range, at] : region->clean_pieces({begin, binding_.n_past * stride})) {
      const std::size_t from = range.offset - begin;
      const auto first = static_cast<std::uint32_t>((from + stride - 1) / stride);
      const auto end = static_cast<std::uint32_t>((from + range.size) / stride);
      if (first >= end) continue;
      // Records that lie in two pieces, or were written since, are whole in the actor's own mapping only.
      if (first > read_) add(own_ + read_ * stride, first - read_);
      add(at + (first * stride - from), end - first);
      read_ = end;
    }
  }

  void add(const std::byte* tokens, std::uint32_t n_tokens) {
    if (n_tokens != 0) spans_.push_back({tokens, n_tokens});
  }

  const KvBinding& binding_;
  const std::size_t records_;  ///< offset of the first token's record in the memory
  std::byte* const own_;
  std::vector<cpu::KvSpan>& spans_;
  std::uint32_t read_ = 0;  ///< tokens that have a span
};

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
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const KvBinding& binding = sequences[i];
      cpu::KvSequence& sequence = state_.sequences[i];
      SpanList spans(binding, sequence.spans);
      spans.make();
      sequence.pass = spans.first_of_pass();
      sequence.token_stride = binding.layout.token_stride;
      sequence.row_bytes = binding.layout.row_bytes;
      sequence.type = kv_ggml_type(binding.layout.kv_type);
      sequence.n_past = binding.n_past;
      sequence.n_tokens = binding.n_tokens;
    }
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
