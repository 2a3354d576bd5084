#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "llm/graph/kv_access.hpp"
#include "llm/graph/kv_rows.hpp"

namespace driftwood {

namespace {

class ImportedRows final : public KvRows {
 public:
  Result<void> bind(Graph& graph, ggml_tensor* rows, const KvBinding& binding) override {
    return graph.bind(rows, *binding.memory, binding.context_offset + binding.layout.kv_offset);
  }
};

class StockKvAccess final : public KvAccess {
 public:
  explicit StockKvAccess(std::unique_ptr<KvRows> place) : place_(std::move(place)) {}

  Result<void> begin(const BuildContext& build, Graph& graph, std::span<const KvBinding> sequences) override {
    DW_CHECK(sequences.size() == 1);
    const KvBinding& binding = sequences.front();
    const Hyperparameters& model = *build.hyperparameters;
    n_tokens_ = build.shape.n_tokens;
    n_kv_max_ = build.shape.n_kv_max;
    layout_ = binding.layout;
    DW_TRY(check_rows(build.model->device().info()));

    const ggml_type type = kv_ggml_type(layout_.kv_type);
    const auto block = static_cast<std::size_t>(ggml_blck_size(type));
    const std::size_t bytes = std::size_t{n_kv_max_} * layout_.token_stride;
    rows_ = ggml_new_tensor_1d(build.ggml, type, static_cast<std::int64_t>(bytes / ggml_type_size(type) * block));
    DW_TRY(place_->bind(graph, rows_, binding));

    indices_ = ggml_new_tensor_1d(build.ggml, GGML_TYPE_I64, n_tokens_);
    ggml_set_input(indices_);
    index_values_.resize(n_tokens_);

    for (std::uint32_t layer = 0; layer < model.n_layer; ++layer) {
      const std::uint32_t window = layer_window(model, layer);
      // A single token sees every row unless a window hides the oldest.
      if (n_tokens_ == 1 && window == 0) continue;
      if (std::ranges::find(masks_, window, &Mask::window) != masks_.end()) continue;
      ggml_tensor* mask = ggml_new_tensor_2d(build.ggml, GGML_TYPE_F16, n_kv_max_, n_tokens_);
      ggml_set_input(mask);
      masks_.push_back({window, mask});
    }
    if (!masks_.empty()) mask_values_.resize(std::size_t{n_kv_max_} * n_tokens_);
    return {};
  }

  void store(const BuildContext& build, std::uint32_t layer, ggml_tensor* k, ggml_tensor* v) override {
    store_rows(build, k, layout_.layer_offset(layer));
    store_rows(build, v, layout_.layer_offset(layer) + layout_.row_bytes);
  }

  ggml_tensor* attend(const BuildContext& build, std::uint32_t layer, ggml_tensor* q) override {
    const Hyperparameters& model = *build.hyperparameters;
    ggml_tensor* k = heads(build, layout_.layer_offset(layer));
    ggml_tensor* v = heads(build, layout_.layer_offset(layer) + layout_.row_bytes);
    const auto mask = std::ranges::find(masks_, layer_window(model, layer), &Mask::window);
    ggml_tensor* result = ggml_flash_attn_ext(build.ggml, ggml_permute(build.ggml, q, 0, 2, 1, 3), k, v,
                                              mask == masks_.end() ? nullptr : mask->tensor, model.attention_scale,
                                              0.0F, model.attention_softcap);
    ggml_prec_set_acc(result, GGML_PREC_F32);
    return ggml_reshape_2d(build.ggml, result, result->ne[0] * result->ne[1], n_tokens_);
  }

  Result<void> prepare(Graph& graph, std::span<const KvBinding> sequences) override {
    DW_CHECK(sequences.size() == 1);
    const KvBinding& binding = sequences.front();
    DW_TRY(place_->bind(graph, rows_, binding));
    for (std::uint32_t i = 0; i < n_tokens_; ++i) index_values_[i] = std::int64_t{binding.n_past} + i;
    DW_TRY(graph.set(indices_, std::span<const std::int64_t>(index_values_)));

    // Exactly the rows that hold tokens: what lies behind them is the guest's, and may not even be numbers.
    const std::int64_t n_kv = std::int64_t{binding.n_past} + n_tokens_;
    for (ggml_tensor* view : heads_) view->ne[1] = n_kv;
    for (const Mask& mask : masks_) DW_TRY(fill(graph, mask, binding.n_past, n_kv));
    return {};
  }

  Result<void> finish(Result<void> ran) override { return place_->finish(std::move(ran)); }

 private:
  struct Mask {
    std::uint32_t window;
    ggml_tensor* tensor;
  };

  /// Each layer's rows are an operand by themselves.
  Result<void> check_rows(const DeviceInfo& device) const {
    if (is_aligned(layout_.row_bytes, device.capabilities.tensor_alignment)) return {};
    const bool f16 = layout_.kv_type == KvType::f16;
    return fail(
        ErrorCode::unsupported,
        fmt::format("The device ({}) needs operands at multiples of {} bytes, and this model's KV rows of type {} "
                    "have {}; a Context of type {} may do.",
                    device.name, device.capabilities.tensor_alignment, f16 ? "f16" : "q8_0", layout_.row_bytes,
                    f16 ? "q8_0" : "f16"));
  }

  void store_rows(const BuildContext& build, ggml_tensor* rows, std::size_t offset) {
    const std::int64_t elements = rows->ne[0] * rows->ne[1];
    ggml_tensor* place = ggml_view_2d(build.ggml, rows_, elements, n_kv_max_, layout_.token_stride, offset);
    ggml_tensor* source = ggml_view_2d(build.ggml, rows, elements, n_tokens_, rows->nb[2], 0);
    ggml_build_forward_expand(build.nodes, ggml_set_rows(build.ggml, place, source, indices_));
  }

  ggml_tensor* heads(const BuildContext& build, std::size_t offset) {
    const Hyperparameters& model = *build.hyperparameters;
    ggml_tensor* view = ggml_view_3d(build.ggml, rows_, model.head_dim, model.n_head_kv, n_kv_max_,
                                     ggml_row_size(rows_->type, model.head_dim), layout_.token_stride, offset);
    heads_.push_back(ggml_permute(build.ggml, view, 0, 2, 1, 3));
    return heads_.back();
  }

  Result<void> fill(Graph& graph, const Mask& mask, std::uint32_t n_past, std::int64_t n_kv) {
    const ggml_fp16_t hidden = ggml_fp32_to_fp16(-std::numeric_limits<float>::infinity());
    const ggml_fp16_t seen = ggml_fp32_to_fp16(0.0F);
    ggml_fp16_t* row = mask_values_.data();
    for (std::uint32_t i = 0; i < n_tokens_; ++i, row += n_kv) {
      const std::int64_t end = std::int64_t{n_past} + i + 1;
      const std::int64_t begin = mask.window == 0 ? 0 : std::max<std::int64_t>(0, end - mask.window);
      std::fill_n(row, n_kv, hidden);
      std::fill(row + begin, row + end, seen);
    }
    ggml_tensor* tensor = mask.tensor;
    tensor->ne[0] = n_kv;
    tensor->nb[1] = static_cast<std::size_t>(n_kv) * sizeof(ggml_fp16_t);
    tensor->nb[2] = tensor->nb[1] * n_tokens_;
    tensor->nb[3] = tensor->nb[2];
    const auto used = static_cast<std::size_t>(n_kv) * n_tokens_;
    return graph.set(tensor, std::span<const ggml_fp16_t>(mask_values_).first(used));
  }

  std::unique_ptr<KvRows> place_;
  ContextLayout layout_;
  std::uint32_t n_tokens_ = 0;
  std::uint32_t n_kv_max_ = 0;
  ggml_tensor* rows_ = nullptr;     ///< the KV rows as one tensor; every view below is of it
  ggml_tensor* indices_ = nullptr;  ///< i64 [n_tokens]: the rows that the pass writes
  std::vector<ggml_tensor*> heads_;
  std::vector<Mask> masks_;
  std::vector<std::int64_t> index_values_;
  std::vector<ggml_fp16_t> mask_values_;
};

}  // namespace

std::unique_ptr<KvAccess> make_stock_kv_access() { return make_stock_kv_access(std::make_unique<ImportedRows>()); }

std::unique_ptr<KvAccess> make_stock_kv_access(std::unique_ptr<KvRows> rows) {
  return std::make_unique<StockKvAccess>(std::move(rows));
}

}  // namespace driftwood
