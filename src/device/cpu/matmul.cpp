#include "device/cpu/matmul.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "core/error.hpp"
#include "device/cpu/matmul_kernels.hpp"

namespace driftwood::cpu {
namespace {

constexpr std::uint32_t kTokenTile = 48;    // tokens whose activations stay in the first-level cache
constexpr std::int64_t kRowsPerTask = 4;    // of the operators that make rows
constexpr std::uint32_t kTilesPerTask = 4;  // row tiles of one task

/// An operator that makes one row of activations from each row of its sources.
ggml_tensor* row_operator(ggml_context* context, std::span<ggml_tensor*> sources, ggml_custom_op_t function,
                          void* data) {
  DW_CHECK(sources[0]->ne[0] % kBlock == 0);
  const auto bytes = static_cast<std::int64_t>(ActivationRow::bytes(static_cast<std::uint32_t>(sources[0]->ne[0])));
  return ggml_custom_4d(context, GGML_TYPE_I8, bytes, sources[0]->ne[1], 1, 1, sources.data(),
                        static_cast<int>(sources.size()), function, GGML_N_TASKS_MAX, data);
}

const float* row_of(const ggml_tensor* tensor, std::int64_t row) {
  return reinterpret_cast<const float*>(static_cast<const std::byte*>(tensor->data) +
                                        static_cast<std::size_t>(row) * tensor->nb[1]);
}

/// Calls `make(i, activations)` for this thread's share of the result's rows, or, of few threads' work that one thread
/// does, with the help of others.
template <typename Make>
void for_rows(ggml_tensor* result, const RowNode& node, int thread, int n_threads, const Make& make) {
  const auto columns = static_cast<std::uint32_t>(result->src[0]->ne[0]);
  const std::int64_t n = result->ne[1];
  const auto make_rows = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      make(i,
           ActivationRow{static_cast<std::byte*>(result->data) + static_cast<std::size_t>(i) * result->nb[1], columns});
    }
  };
  if (n_threads == 1 && n >= 2 * kRowsPerTask && node.crew != nullptr) {
    node.crew->run(static_cast<std::size_t>((n + kRowsPerTask - 1) / kRowsPerTask), [&](std::size_t task) {
      const auto begin = static_cast<std::int64_t>(task) * kRowsPerTask;
      make_rows(begin, std::min(n, begin + kRowsPerTask));
    });
    return;
  }
  make_rows(n * thread / n_threads, n * (thread + 1) / n_threads);
}

const RowNode& row_node(const void* data) { return *static_cast<const RowNode*>(data); }

void run_quantize(ggml_tensor* result, int thread, int n_threads, void* data) {
  for_rows(result, row_node(data), thread, n_threads,
           [&](std::int64_t i, ActivationRow into) { quantize_row(row_of(result->src[0], i), into); });
}

void run_rms_norm_quantize(ggml_tensor* result, int thread, int n_threads, void* data) {
  const RowNode& node = row_node(data);
  for_rows(result, node, thread, n_threads, [&](std::int64_t i, ActivationRow into) {
    static thread_local std::vector<float> normed;
    normed.resize(into.columns);
    rms_norm_row(row_of(result->src[0], i), row_of(result->src[1], 0), node.epsilon, into.columns, normed.data());
    quantize_row(normed.data(), into);
  });
}

void run_silu_gate_quantize(ggml_tensor* result, int thread, int n_threads, void* data) {
  for_rows(result, row_node(data), thread, n_threads, [&](std::int64_t i, ActivationRow into) {
    static thread_local std::vector<float> gated;
    gated.resize(into.columns);
    silu_gate_row(row_of(result->src[0], i), row_of(result->src[1], i), into.columns, gated.data());
    quantize_row(gated.data(), into);
  });
}

/// Which matrix a task's row tiles belong to.
struct Task {
  const PackedMatrix* weight;
  std::uint32_t first_tile;
  std::uint32_t n_tiles;
  std::uint32_t first_row;  ///< of the result
};

std::uint32_t tasks_of(const PackedMatrix& weight) { return (weight.row_tiles() + kTilesPerTask - 1) / kTilesPerTask; }

Task task_at(const MatmulNode& node, std::uint32_t number) {
  std::uint32_t first_row = 0;
  for (const PackedMatrix* weight : node.weights) {
    const std::uint32_t tasks = tasks_of(*weight);
    if (number < tasks) {
      const std::uint32_t tile = number * kTilesPerTask;
      return {weight, tile, std::min(kTilesPerTask, weight->row_tiles() - tile), first_row};
    }
    number -= tasks;
    first_row += weight->rows();
  }
  return {};
}

void run_matmul(ggml_tensor* result, int, int n_threads, void* data) {
  auto& node = *static_cast<MatmulNode*>(data);
  const ggml_tensor* activations = result->src[0];
  const ggml_tensor* add = result->src[1];
  const auto n = static_cast<std::uint32_t>(result->ne[1]);
  std::uint32_t row_tasks = 0;
  for (const PackedMatrix* weight : node.weights) row_tasks += tasks_of(*weight);
  const std::uint32_t token_tiles = (n + kTokenTile - 1) / kTokenTile;

  const auto do_task = [&](std::uint32_t number) {
    // Neighbouring tasks share the activations, so that they stay in a shared cache.
    const Task task = task_at(node, number % row_tasks);
    const std::uint32_t token = number / row_tasks * kTokenTile;
    for (std::uint32_t tile = task.first_tile; tile < task.first_tile + task.n_tiles; ++tile) {
      const std::uint32_t row = tile * kTileRows;
      const std::size_t at = token * result->nb[1] / sizeof(float) + task.first_row + row;
      multiply_row_tile({
          .tiles = task.weight->row_tile(tile),
          .format = task.weight->format(),
          .columns = task.weight->columns(),
          .n_rows = std::min(kTileRows, task.weight->rows() - row),
          .activations = static_cast<const std::byte*>(activations->data) + token * activations->nb[1],
          .token_bytes = activations->nb[1],
          .n_tokens = std::min(kTokenTile, n - token),
          .out = static_cast<float*>(result->data) + at,
          .out_stride = result->nb[1] / sizeof(float),
          .add = add == nullptr
                     ? nullptr
                     : static_cast<const float*>(add->data) + token * add->nb[1] / sizeof(float) + task.first_row + row,
          .add_stride = add == nullptr ? 0 : add->nb[1] / sizeof(float),
      });
    }
  };
  node.work.share(static_cast<std::uint32_t>(n_threads), row_tasks * token_tiles, do_task);
}

}  // namespace

std::uint32_t MatmulNode::rows() const noexcept {
  std::uint32_t rows = 0;
  for (const PackedMatrix* weight : weights) rows += weight->rows();
  return rows;
}

ggml_tensor* quantize(ggml_context* context, ggml_tensor* x, RowNode* node) {
  DW_CHECK(x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float));
  std::array<ggml_tensor*, 1> sources = {x};
  return row_operator(context, sources, run_quantize, node);
}

ggml_tensor* rms_norm_quantize(ggml_context* context, ggml_tensor* x, ggml_tensor* weight, RowNode* node) {
  DW_CHECK(x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float));
  DW_CHECK(weight->type == GGML_TYPE_F32 && weight->ne[0] == x->ne[0] && ggml_is_contiguous(weight));
  std::array<ggml_tensor*, 2> sources = {x, weight};
  return row_operator(context, sources, run_rms_norm_quantize, node);
}

ggml_tensor* silu_gate_quantize(ggml_context* context, ggml_tensor* gate, ggml_tensor* up, RowNode* node) {
  DW_CHECK(gate->type == GGML_TYPE_F32 && gate->nb[0] == sizeof(float));
  DW_CHECK(up->type == GGML_TYPE_F32 && up->nb[0] == sizeof(float) && ggml_are_same_shape(gate, up));
  std::array<ggml_tensor*, 2> sources = {gate, up};
  return row_operator(context, sources, run_silu_gate_quantize, node);
}

ggml_tensor* matmul(ggml_context* context, ggml_tensor* activations, MatmulNode* node, ggml_tensor* add) {
  DW_CHECK(!node->weights.empty());
  for (const PackedMatrix* weight : node->weights) {
    DW_CHECK(activations->ne[0] == static_cast<std::int64_t>(ActivationRow::bytes(weight->columns())));
  }
  std::array<ggml_tensor*, 2> sources = {activations, add};
  const int n_sources = add == nullptr ? 1 : 2;
  DW_CHECK(add == nullptr || (add->ne[0] == node->rows() && add->ne[1] == activations->ne[1]));
  return ggml_custom_4d(context, GGML_TYPE_F32, node->rows(), activations->ne[1], 1, 1, sources.data(), n_sources,
                        run_matmul, GGML_N_TASKS_MAX, node);
}

}  // namespace driftwood::cpu
