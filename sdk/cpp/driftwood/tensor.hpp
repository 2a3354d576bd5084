// Op records over linear memory: a guest's own computations on the device.
//
//   Graph graph;
//   Tensor a = graph.tensor(a_data, {k, m});         // ne[0] counts along the row
//   Tensor b = graph.tensor(b_data, {k, n});
//   Tensor c = graph.tensor(c_data, {m, n});
//   graph.matmul(c, a, b);
//   DW_TRY(graph.run());                             // as often as wanted
//
// The tensors are borrowed memory, aligned to 32 bytes, and must outlive the runs. What each op does: DW_OP_* in
// driftwood.h. Wrong shapes are found by the host, when it runs. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "driftwood.h"
#include "driftwood/result.hpp"

namespace driftwood::guest {

/// A tensor of the Graph that made it.
struct Tensor {
  std::uint32_t index = DW_NO_TENSOR;
};

class Graph {
 public:
  using Shape = std::initializer_list<std::uint32_t>;  ///< up to four dimensions

  /// Contiguous memory of any type (DW_TYPE_*).
  Tensor tensor(void* data, std::uint32_t type, Shape shape);
  Tensor tensor(float* data, Shape shape) { return tensor(data, DW_TYPE_F32, shape); }
  Tensor tensor(std::int32_t* data, Shape shape) { return tensor(data, DW_TYPE_I32, shape); }
  /// Strides in bytes, one for each of four dimensions.
  Tensor view(void* data, std::uint32_t type, Shape shape, std::array<std::uint32_t, 4> strides);

  void matmul(Tensor dst, Tensor a, Tensor b) { add(DW_OP_MATMUL, dst, {a, b}); }
  void plus(Tensor dst, Tensor a, Tensor b) { add(DW_OP_ADD, dst, {a, b}); }
  void times(Tensor dst, Tensor a, Tensor b) { add(DW_OP_MUL, dst, {a, b}); }
  void rms_norm(Tensor dst, Tensor a, float epsilon) { add(DW_OP_RMS_NORM, dst, {a}).f[0] = epsilon; }
  /// `mode` is DW_ROPE_*.
  void rope(Tensor dst, Tensor a, Tensor positions, std::int32_t dims, std::int32_t mode, float base, float scale = 1);
  /// Rows of a * scale, plus the mask if there is one.
  void soft_max(Tensor dst, Tensor a, float scale = 1, Tensor mask = {}) {
    add(DW_OP_SOFT_MAX, dst, {a, mask}).f[0] = scale;
  }
  void silu(Tensor dst, Tensor a) { add(DW_OP_SILU, dst, {a}); }
  void gelu(Tensor dst, Tensor a) { add(DW_OP_GELU, dst, {a}); }
  void get_rows(Tensor dst, Tensor table, Tensor rows) { add(DW_OP_GET_ROWS, dst, {table, rows}); }
  /// a * factor + offset
  void scale(Tensor dst, Tensor a, float factor, float offset = 0);
  /// `soft_cap` 0: none.
  void attention(Tensor dst, Tensor q, Tensor k, Tensor v, Tensor mask, float scale, float soft_cap = 0);
  void copy(Tensor dst, Tensor a) { add(DW_OP_CPY, dst, {a}); }

  /// Runs the ops in the order in which they were added.
  Result<void> run() const;
  /// Forgets the ops and the tensors; their room is used again.
  void clear() noexcept;

 private:
  dw_op& add(std::uint32_t op, Tensor dst, std::initializer_list<Tensor> sources);

  std::vector<dw_tensor> tensors_;
  std::vector<dw_op> ops_;
};

}  // namespace driftwood::guest
