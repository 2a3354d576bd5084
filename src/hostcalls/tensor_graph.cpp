#include "hostcalls/tensor_graph.hpp"

#include <ggml.h>

#include <vector>

namespace driftwood {
namespace {

// The numbers of the guest ABI are GGUF's, which are ggml's.
static_assert(DW_TYPE_F32 == GGML_TYPE_F32 && DW_TYPE_F16 == GGML_TYPE_F16 && DW_TYPE_I32 == GGML_TYPE_I32);
static_assert(DW_TYPE_Q4_0 == GGML_TYPE_Q4_0 && DW_TYPE_Q4_1 == GGML_TYPE_Q4_1 && DW_TYPE_Q5_0 == GGML_TYPE_Q5_0);
static_assert(DW_TYPE_Q5_1 == GGML_TYPE_Q5_1 && DW_TYPE_Q8_0 == GGML_TYPE_Q8_0 && DW_TYPE_Q2_K == GGML_TYPE_Q2_K);
static_assert(DW_TYPE_Q3_K == GGML_TYPE_Q3_K && DW_TYPE_Q4_K == GGML_TYPE_Q4_K && DW_TYPE_Q5_K == GGML_TYPE_Q5_K);
static_assert(DW_TYPE_Q6_K == GGML_TYPE_Q6_K);
static_assert(DW_ROPE_NORMAL == GGML_ROPE_TYPE_NORMAL && DW_ROPE_NEOX == GGML_ROPE_TYPE_NEOX);

void set_strides(ggml_tensor* tensor, const CheckedTensor& checked) {
  for (std::size_t d = 0; d < checked.nb.size(); ++d) tensor->nb[d] = checked.nb[d];
}

// Each tensor that an op reads is a leaf over guest memory, and results are not linked to the ops that
// read them: the order of the nodes is the order of the ops, and each result is written where the guest wants it.
class Builder {
 public:
  Builder(Graph& graph, ggml_context* context, const Import& memory, const TensorProgram& program)
      : graph_(graph), context_(context), memory_(memory), program_(program), leaves_(program.tensors.size()) {}

  Result<ggml_tensor*> node(const CheckedOp& op) {
    std::array<ggml_tensor*, 4> src{};
    for (std::size_t s = 0; s < src.size(); ++s) {
      if (op.src[s] == DW_NO_TENSOR) continue;
      DW_TRY_ASSIGN(src[s], leaf(op.src[s]));
    }
    if (op.op == DW_OP_CPY) {
      DW_TRY_ASSIGN(ggml_tensor * target, leaf(op.dst));
      return ggml_cpy(context_, src[0], target);
    }
    ggml_tensor* result = apply(op, src);
    set_strides(result, program_.tensors[op.dst]);
    DW_TRY(graph_.bind(result, memory_, offset_of(program_.tensors[op.dst])));
    return result;
  }

 private:
  std::size_t offset_of(const CheckedTensor& checked) const { return checked.range.offset - memory_.region_offset(); }

  Result<ggml_tensor*> leaf(std::uint32_t index) {
    ggml_tensor*& found = leaves_[index];
    if (found != nullptr) return found;
    const CheckedTensor& checked = program_.tensors[index];
    found = ggml_new_tensor(context_, static_cast<ggml_type>(checked.type), 4, checked.ne.data());
    set_strides(found, checked);
    DW_TRY(graph_.bind(found, memory_, offset_of(checked)));
    return found;
  }

  ggml_tensor* apply(const CheckedOp& op, const std::array<ggml_tensor*, 4>& src) const {
    switch (op.op) {
      case DW_OP_MATMUL: return ggml_mul_mat(context_, src[0], src[1]);
      case DW_OP_ADD: return ggml_add(context_, src[0], src[1]);
      case DW_OP_MUL: return ggml_mul(context_, src[0], src[1]);
      case DW_OP_RMS_NORM: return ggml_rms_norm(context_, src[0], op.f[0]);
      case DW_OP_ROPE:
        return ggml_rope_ext(context_, src[0], src[1], nullptr, op.i[0], op.i[1], 0, op.f[0], op.f[1], 0.0F, 1.0F, 0.0F,
                             0.0F);
      case DW_OP_SOFT_MAX: return ggml_soft_max_ext(context_, src[0], src[1], op.f[0], 0.0F);
      case DW_OP_SILU: return ggml_silu(context_, src[0]);
      case DW_OP_GELU: return ggml_gelu(context_, src[0]);
      case DW_OP_GET_ROWS: return ggml_get_rows(context_, src[0], src[1]);
      case DW_OP_SCALE: return ggml_scale_bias(context_, src[0], op.f[0], op.f[1]);
      case DW_OP_ATTENTION:
        return ggml_flash_attn_ext(context_, src[0], src[1], src[2], src[3], op.f[0], 0.0F, op.f[1]);
      default: break;
    }
    DW_CHECK(false);  // check_op let an op through that is not listed above
    return nullptr;
  }

  Graph& graph_;
  ggml_context* context_;
  const Import& memory_;
  const TensorProgram& program_;
  std::vector<ggml_tensor*> leaves_;
};

}  // namespace

Result<std::unique_ptr<Graph>> build_tensor_graph(Device& device, const Import& memory, const TensorProgram& program) {
  const auto build = [&](Graph& graph, ggml_context* context, ggml_cgraph* nodes) -> Result<void> {
    Builder builder(graph, context, memory, program);
    for (const CheckedOp& op : program.ops) {
      DW_TRY_ASSIGN(ggml_tensor * node, builder.node(op));
      ggml_build_forward_expand(nodes, node);
    }
    return {};
  };
  return Graph::create(device, program.tensors.size() + program.ops.size() + 1, build);
}

}  // namespace driftwood
