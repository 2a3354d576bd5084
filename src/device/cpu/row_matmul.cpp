#include "device/cpu/row_matmul.hpp"

#include <ggml-cpu.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/error.hpp"

namespace driftwood::cpu {
namespace {

constexpr std::int64_t kRows = 16;    // of one task
constexpr std::int64_t kTokens = 16;  // whose activations stay in the cache with them

ggml_type activation_type(ggml_type weight) { return ggml_get_type_traits_cpu(weight)->vec_dot_type; }

std::byte* row_of(const ggml_tensor* tensor, std::int64_t row) {
  return static_cast<std::byte*>(tensor->data) + static_cast<std::size_t>(row) * tensor->nb[1];
}

void run_convert(ggml_tensor* result, int thread, int n_threads, void* data) {
  const auto type = *static_cast<const ggml_type*>(data);
  const ggml_tensor* x = result->src[0];
  const std::int64_t n = result->ne[1];
  for (std::int64_t i = n * thread / n_threads; i < n * (thread + 1) / n_threads; ++i) {
    const auto* from = reinterpret_cast<const float*>(row_of(x, i));
    if (type == GGML_TYPE_F32) {
      std::memcpy(row_of(result, i), from, static_cast<std::size_t>(x->ne[0]) * sizeof(float));
    } else {
      ggml_get_type_traits_cpu(type)->from_float(from, row_of(result, i), x->ne[0]);
    }
  }
}

void run_row_matmul(ggml_tensor* result, int, int n_threads, void* data) {
  auto& node = *static_cast<RowMatmulNode*>(data);
  const ggml_tensor* weight = result->src[0];
  const ggml_tensor* activations = result->src[1];
  const ggml_vec_dot_t dot = ggml_get_type_traits_cpu(weight->type)->vec_dot;
  const std::int64_t n_rows = weight->ne[1];
  const std::int64_t n_tokens = result->ne[1];
  const auto do_task = [&](std::uint32_t number) {
    const std::int64_t task = number;
    for (std::int64_t first = 0; first < n_tokens; first += kTokens) {
      for (std::int64_t row = task * kRows; row < std::min(n_rows, (task + 1) * kRows); ++row) {
        for (std::int64_t token = first; token < std::min(n_tokens, first + kTokens); ++token) {
          auto* out = reinterpret_cast<float*>(row_of(result, token)) + row;
          dot(static_cast<int>(weight->ne[0]), out, 0, row_of(weight, row), 0, row_of(activations, token), 0, 1);
        }
      }
    }
  };
  const auto tasks = static_cast<std::uint32_t>((n_rows + kRows - 1) / kRows);
  node.work.share(static_cast<std::uint32_t>(n_threads), tasks, do_task);
}

}  // namespace

ggml_tensor* convert_for(ggml_context* context, ggml_tensor* x, ggml_type type) {
  DW_CHECK(x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float));
  // The table of types outlives every graph.
  const ggml_type* to = &ggml_get_type_traits_cpu(type)->vec_dot_type;
  std::array<ggml_tensor*, 1> sources = {x};
  return ggml_custom_4d(context, GGML_TYPE_I8, static_cast<std::int64_t>(ggml_row_size(*to, x->ne[0])), x->ne[1], 1, 1,
                        sources.data(), static_cast<int>(sources.size()), run_convert, GGML_N_TASKS_MAX,
                        const_cast<ggml_type*>(to));
}

ggml_tensor* row_matmul(ggml_context* context, ggml_tensor* weight, ggml_tensor* activations, RowMatmulNode* node) {
  DW_CHECK(static_cast<std::size_t>(activations->ne[0]) == ggml_row_size(activation_type(weight->type), weight->ne[0]));
  std::array<ggml_tensor*, 2> sources = {weight, activations};
  return ggml_custom_4d(context, GGML_TYPE_F32, weight->ne[1], activations->ne[1], 1, 1, sources.data(),
                        static_cast<int>(sources.size()), run_row_matmul, GGML_N_TASKS_MAX, node);
}

}  // namespace driftwood::cpu
