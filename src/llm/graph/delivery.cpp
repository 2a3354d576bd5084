#include "llm/graph/delivery.hpp"

#include <array>
#include <cstring>

#include "core/error.hpp"
#include "llm/top_k.hpp"

namespace driftwood {

namespace {

void run_delivery(ggml_tensor* result, int, int n_threads, void* data) {
  auto& node = *static_cast<DeliveryNode*>(data);
  const ggml_tensor* logits = result->src[0];
  const auto n_vocab = static_cast<std::size_t>(logits->ne[0]);
  const auto deliver_row = [&](std::uint32_t i) {
    const auto* row = reinterpret_cast<const float*>(static_cast<const std::byte*>(logits->data) + i * logits->nb[1]);
    const RowDestination& to = node.rows[i];
    if (to.row != nullptr) {
      std::memcpy(to.row, row, n_vocab * sizeof(float));
    } else {
      select_top_k({row, n_vocab}, to.best);
    }
  };
  node.work.share(static_cast<std::uint32_t>(n_threads), [&] {
    for (std::uint32_t i = node.work.take(); i < node.rows.size(); i = node.work.take()) deliver_row(i);
  });
}

}  // namespace

ggml_tensor* deliver(ggml_context* context, ggml_tensor* logits, DeliveryNode* node) {
  DW_CHECK(logits->type == GGML_TYPE_F32 && logits->nb[0] == sizeof(float));
  std::array<ggml_tensor*, 1> sources = {logits};
  return ggml_custom_4d(context, GGML_TYPE_F32, 1, 1, 1, 1, sources.data(), static_cast<int>(sources.size()),
                        run_delivery, GGML_N_TASKS_MAX, node);
}

}  // namespace driftwood
