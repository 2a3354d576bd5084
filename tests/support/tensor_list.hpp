// Records for dw_tensor_run, written as a test wants to read them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "hostcalls/guest_abi.hpp"

namespace driftwood::test {

using Shape = std::array<std::uint32_t, 4>;

struct OpParameters {
  std::array<std::int32_t, 4> i{};
  std::array<float, 4> f{};
};

struct TensorList {
  std::vector<dw_tensor> tensors;
  std::vector<dw_op> ops;

  /// Adds a tensor; the value is its index. Strides of zero mean contiguous.
  std::uint32_t tensor(std::uint32_t data, std::uint32_t type, Shape ne, Shape nb = {}) {
    dw_tensor record{};
    record.data = data;
    record.type = type;
    for (std::size_t d = 0; d < 4; ++d) {
      record.ne[d] = ne[d];
      record.nb[d] = nb[d];
    }
    tensors.push_back(record);
    return static_cast<std::uint32_t>(tensors.size() - 1);
  }
  dw_op& op(std::uint32_t kind, std::uint32_t dst, std::vector<std::uint32_t> src, OpParameters parameters = {}) {
    dw_op record{};
    record.op = kind;
    record.dst = dst;
    for (std::size_t s = 0; s < 4; ++s) record.src[s] = s < src.size() ? src[s] : DW_NO_TENSOR;
    for (std::size_t p = 0; p < 4; ++p) {
      record.i[p] = parameters.i[p];
      record.f[p] = parameters.f[p];
    }
    ops.push_back(record);
    return ops.back();
  }
};

}  // namespace driftwood::test
