#include "driftwood/tensor.hpp"

#include <algorithm>

#include "driftwood/host.hpp"

namespace driftwood::guest {

Tensor Graph::tensor(void* data, std::uint32_t type, Shape shape) { return view(data, type, shape, {}); }

Tensor Graph::view(void* data, std::uint32_t type, Shape shape, std::array<std::uint32_t, 4> strides) {
  dw_tensor record = {data, type, {1, 1, 1, 1}, {}};
  std::copy_n(shape.begin(), std::min<std::size_t>(shape.size(), 4), record.ne);
  std::copy(strides.begin(), strides.end(), record.nb);
  tensors_.push_back(record);
  return {static_cast<std::uint32_t>(tensors_.size() - 1)};
}

void Graph::rope(Tensor dst, Tensor a, Tensor positions, std::int32_t dims, std::int32_t mode, float base,
                 float scale) {
  dw_op& op = add(DW_OP_ROPE, dst, {a, positions});
  op.i[0] = dims;
  op.i[1] = mode;
  op.f[0] = base;
  op.f[1] = scale;
}

void Graph::scale(Tensor dst, Tensor a, float factor, float offset) {
  dw_op& op = add(DW_OP_SCALE, dst, {a});
  op.f[0] = factor;
  op.f[1] = offset;
}

void Graph::attention(Tensor dst, Tensor q, Tensor k, Tensor v, Tensor mask, float scale, float soft_cap) {
  dw_op& op = add(DW_OP_ATTENTION, dst, {q, k, v, mask});
  op.f[0] = scale;
  op.f[1] = soft_cap;
}

Result<void> Graph::run() const {
  DW_TRY(check(dw_tensor_run(tensors_.data(), static_cast<std::uint32_t>(tensors_.size()), ops_.data(),
                             static_cast<std::uint32_t>(ops_.size()))));
  return {};
}

void Graph::clear() noexcept {
  tensors_.clear();
  ops_.clear();
}

dw_op& Graph::add(std::uint32_t op, Tensor dst, std::initializer_list<Tensor> sources) {
  dw_op record = {op, dst.index, {DW_NO_TENSOR, DW_NO_TENSOR, DW_NO_TENSOR, DW_NO_TENSOR}, {}, {}};
  std::transform(sources.begin(), sources.end(), record.src, [](Tensor source) { return source.index; });
  return ops_.emplace_back(record);
}

}  // namespace driftwood::guest
