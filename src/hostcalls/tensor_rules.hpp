// What each tensor op takes: sources, types, shapes and parameters, and how much
// work it is. The rules are the ones that ggml's operators assert, told as errors.
#pragma once

#include <span>

#include "hostcalls/tensor_check.hpp"

namespace driftwood {

/// Checks one op record against checked tensors. `index` names the op in sentences.
Result<CheckedOp> check_op(const dw_op& record, std::size_t index, std::span<const CheckedTensor> tensors);

/// Work of a checked op in the units of DW_MAX_WORK; no more than 2^62.
std::uint64_t op_work(const CheckedOp& op, std::span<const CheckedTensor> tensors);

}  // namespace driftwood
