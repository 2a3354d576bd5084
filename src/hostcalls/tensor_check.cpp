#include "hostcalls/tensor_check.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "hostcalls/tensor_rules.hpp"

namespace driftwood {
namespace {

constexpr const char* kCall = "dw_tensor_run";
constexpr std::size_t kDataAlignment = 32;

std::unexpected<Error> bad_tensor(std::size_t index, std::string what) {
  return fail(ErrorCode::invalid_argument, fmt::format("Tensor {} of {} {}.", index, kCall, what));
}

// Strides that are given must keep elements apart: taken from the smallest on, each
// steps over all that the smaller ones span. So a tensor never has more elements than
// memory has bytes for, and a result is never written twice.
bool strides_keep_apart(const CheckedTensor& tensor, std::uint64_t row_bytes) {
  std::array<std::size_t, 3> order = {1, 2, 3};
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return tensor.nb[a] < tensor.nb[b]; });
  std::uint64_t spanned = row_bytes;
  for (const std::size_t dimension : order) {
    if (tensor.ne[dimension] == 1) continue;
    if (tensor.nb[dimension] < spanned) return false;
    spanned = tensor.nb[dimension] * static_cast<std::uint64_t>(tensor.ne[dimension]);
  }
  return true;
}

// Fills in contiguous strides, or takes those given; the stride of a dimension of one
// element is made what it would be in a contiguous tensor, for ggml compares those too.
Result<void> take_strides(CheckedTensor& tensor, const dw_tensor& record, std::size_t index, std::uint64_t row_bytes,
                          std::uint32_t block_bytes) {
  const bool contiguous =
      std::all_of(std::begin(record.nb), std::end(record.nb), [](auto stride) { return stride == 0; });
  if (!contiguous && record.nb[0] != block_bytes) {
    return bad_tensor(index, fmt::format("has the stride nb[0] ({}), which is not its element's size ({})",
                                         record.nb[0], block_bytes));
  }
  tensor.nb[0] = block_bytes;
  for (std::size_t d = 1; d < 4; ++d) {
    const std::uint64_t dense = d == 1 ? row_bytes : tensor.nb[d - 1] * static_cast<std::uint64_t>(tensor.ne[d - 1]);
    tensor.nb[d] = contiguous || tensor.ne[d] == 1 ? dense : record.nb[d];
    if (!is_aligned(tensor.nb[d], block_bytes)) {
      return bad_tensor(index,
                        fmt::format("has the stride nb[{}] ({}), which is no multiple of its element's size ({})", d,
                                    tensor.nb[d], block_bytes));
    }
  }
  if (!contiguous && !strides_keep_apart(tensor, row_bytes)) {
    return bad_tensor(index, fmt::format("has strides ({}, {}, {}) that put several elements in the same bytes",
                                         record.nb[1], record.nb[2], record.nb[3]));
  }
  return {};
}

Result<CheckedTensor> check_tensor(const dw_tensor& record, std::size_t index, std::size_t memory_size) {
  const std::optional<TypeLayout> layout = type_layout(record.type);
  if (!layout) return bad_tensor(index, fmt::format("has the type {}, which is no DW_TYPE_*", record.type));

  // A dimension has no more elements than memory could hold bits, so that no product below wraps round.
  CheckedTensor tensor;
  tensor.type = record.type;
  std::uint64_t elements = 1;
  for (std::size_t d = 0; d < 4; ++d) {
    tensor.ne[d] = record.ne[d];
    const auto product = checked_mul(elements, record.ne[d]);
    if (record.ne[d] == 0 || !product || *product / 8 > memory_size) {
      return bad_tensor(index, fmt::format("has the shape [{}, {}, {}, {}], which is empty or larger than memory",
                                           record.ne[0], record.ne[1], record.ne[2], record.ne[3]));
    }
    elements = *product;
  }
  if (record.ne[0] % layout->block_elements != 0) {
    return bad_tensor(index, fmt::format("has rows of {} elements, which is no multiple of the block of {} ({})",
                                         record.ne[0], layout->name, layout->block_elements));
  }
  const std::uint64_t row_bytes = std::uint64_t{record.ne[0]} / layout->block_elements * layout->block_bytes;
  DW_TRY(take_strides(tensor, record, index, row_bytes, layout->block_bytes));

  std::uint64_t size = row_bytes;
  for (std::size_t d = 1; d < 4; ++d) {
    const auto reach = checked_mul(tensor.nb[d], static_cast<std::uint64_t>(tensor.ne[d] - 1));
    const auto sum = reach ? checked_add(size, *reach) : std::nullopt;
    size = sum.value_or(SIZE_MAX);
  }
  tensor.range = {record.data, size};
  if (!tensor.range.within(memory_size)) {
    return bad_tensor(index, fmt::format("(offset {}, {} bytes) reaches beyond linear memory ({} bytes)", record.data,
                                         size, memory_size));
  }
  if (!is_aligned(record.data, kDataAlignment)) {
    return bad_tensor(index,
                      fmt::format("has data (offset {}) that is not aligned to {} bytes", record.data, kDataAlignment));
  }
  return tensor;
}

// Indices are checked before the run: no op may change them once it has begun.
Result<void> check_indices_stay(const TensorProgram& program) {
  for (std::size_t reader = 0; reader < program.ops.size(); ++reader) {
    if (program.ops[reader].op != DW_OP_GET_ROWS) continue;
    const ByteRange& indices = program.tensors[program.ops[reader].src[1]].range;
    for (std::size_t writer = 0; writer < reader; ++writer) {
      if (!program.tensors[program.ops[writer].dst].range.overlaps(indices)) continue;
      return fail(ErrorCode::invalid_argument,
                  fmt::format("Op {} of {} writes the row indices that op {} (get_rows) reads; compute them in an "
                              "earlier call.",
                              writer, kCall, reader));
    }
  }
  return {};
}

template <typename T>
T record_at(std::span<const std::byte> bytes, std::size_t index) {
  T record;
  std::memcpy(&record, bytes.data() + index * sizeof(T), sizeof(T));
  return record;
}

Result<std::span<const std::byte>> read_records(const GuestMemory& memory, Argument records, const char* count_name,
                                                std::uint32_t offset, std::uint32_t count, std::uint32_t most,
                                                std::size_t record_size) {
  if (count > most) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The argument \"{}\" of {} ({}) is over {}.", count_name, kCall, count, most));
  }
  return memory.bytes(records, offset, std::uint64_t{count} * record_size, alignof(std::uint32_t));
}

}  // namespace

std::optional<TypeLayout> type_layout(std::uint32_t type) noexcept {
  switch (type) {
    case DW_TYPE_F32: return TypeLayout{"f32", 1, 4};
    case DW_TYPE_F16: return TypeLayout{"f16", 1, 2};
    case DW_TYPE_I32: return TypeLayout{"i32", 1, 4};
    case DW_TYPE_Q4_0: return TypeLayout{"q4_0", 32, 18};
    case DW_TYPE_Q4_1: return TypeLayout{"q4_1", 32, 20};
    case DW_TYPE_Q5_0: return TypeLayout{"q5_0", 32, 22};
    case DW_TYPE_Q5_1: return TypeLayout{"q5_1", 32, 24};
    case DW_TYPE_Q8_0: return TypeLayout{"q8_0", 32, 34};
    case DW_TYPE_Q2_K: return TypeLayout{"q2_K", 256, 84};
    case DW_TYPE_Q3_K: return TypeLayout{"q3_K", 256, 110};
    case DW_TYPE_Q4_K: return TypeLayout{"q4_K", 256, 144};
    case DW_TYPE_Q5_K: return TypeLayout{"q5_K", 256, 176};
    case DW_TYPE_Q6_K: return TypeLayout{"q6_K", 256, 210};
    default: return std::nullopt;
  }
}

std::uint64_t CheckedTensor::elements() const noexcept {
  return static_cast<std::uint64_t>(ne[0]) * static_cast<std::uint64_t>(ne[1]) * static_cast<std::uint64_t>(ne[2]) *
         static_cast<std::uint64_t>(ne[3]);
}

bool CheckedTensor::contiguous() const noexcept {
  const TypeLayout layout = *type_layout(type);
  return range.size == elements() / layout.block_elements * layout.block_bytes && nb[1] <= nb[2] && nb[2] <= nb[3];
}

Result<TensorRecords> read_tensor_records(const GuestMemory& memory, std::uint32_t tensors, std::uint32_t n_tensors,
                                          std::uint32_t ops, std::uint32_t n_ops) {
  TensorRecords records;
  DW_TRY_ASSIGN(records.tensors, read_records(memory, {kCall, "tensors"}, "n_tensors", tensors, n_tensors,
                                              DW_MAX_TENSORS, sizeof(dw_tensor)));
  DW_TRY_ASSIGN(records.ops, read_records(memory, {kCall, "ops"}, "n_ops", ops, n_ops, DW_MAX_OPS, sizeof(dw_op)));
  return records;
}

Result<TensorProgram> check_tensor_program(const TensorRecords& records, std::size_t memory_size) {
  TensorProgram program;
  const std::size_t n_tensors = records.tensors.size() / sizeof(dw_tensor);
  const std::size_t n_ops = records.ops.size() / sizeof(dw_op);
  program.tensors.reserve(n_tensors);
  program.ops.reserve(n_ops);
  for (std::size_t i = 0; i < n_tensors; ++i) {
    DW_TRY_ASSIGN(CheckedTensor tensor, check_tensor(record_at<dw_tensor>(records.tensors, i), i, memory_size));
    program.tensors.push_back(tensor);
  }
  for (std::size_t i = 0; i < n_ops; ++i) {
    DW_TRY_ASSIGN(const CheckedOp op, check_op(record_at<dw_op>(records.ops, i), i, program.tensors));
    program.ops.push_back(op);
    program.work += op_work(op, program.tensors);
    if (program.work > DW_MAX_WORK) {
      return fail(ErrorCode::unsupported,
                  fmt::format("The ops 0 to {} of {} take {} units of work; one call may take {}. Split it.", i, kCall,
                              program.work, DW_MAX_WORK));
    }
  }
  DW_TRY(check_indices_stay(program));
  return program;
}

Result<void> check_indices(const TensorProgram& program, const GuestMemory& memory) {
  for (std::size_t o = 0; o < program.ops.size(); ++o) {
    const CheckedOp& op = program.ops[o];
    if (op.op != DW_OP_GET_ROWS) continue;
    const std::int64_t n_rows = program.tensors[op.src[0]].ne[1];
    const CheckedTensor& indices = program.tensors[op.src[1]];
    for (std::int64_t i2 = 0; i2 < indices.ne[2]; ++i2) {
      for (std::int64_t i1 = 0; i1 < indices.ne[1]; ++i1) {
        const std::byte* row = memory.data() + indices.range.offset + static_cast<std::uint64_t>(i2) * indices.nb[2] +
                               static_cast<std::uint64_t>(i1) * indices.nb[1];
        for (std::int64_t i0 = 0; i0 < indices.ne[0]; ++i0) {
          std::int32_t index = 0;
          std::memcpy(&index, row + i0 * static_cast<std::int64_t>(sizeof(index)), sizeof(index));
          if (index >= 0 && index < n_rows) continue;
          return fail(ErrorCode::invalid_argument,
                      fmt::format("Op {} of {} (get_rows) has the row index {} at [{}, {}, {}]; there are {} rows.", o,
                                  kCall, index, i0, i1, i2, n_rows));
        }
      }
    }
  }
  return {};
}

}  // namespace driftwood
