// The checks of tensor_run's records: from untrusted bytes to a TensorProgram that
// a device can run without a doubt.
//
// ggml ends the process where a graph breaks its rules, so every rule of every
// operator is checked here, on plain numbers; nothing of ggml is needed. What
// depends on data that changes between runs (row indices) is listed in the
// program and checked before each run. Pure; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "hostcalls/guest_abi.hpp"
#include "hostcalls/guest_memory.hpp"

namespace driftwood {

/// Elements of a type come in blocks.
struct TypeLayout {
  std::string_view name;         ///< "f16"
  std::uint32_t block_elements;  ///< 1 for plain types
  std::uint32_t block_bytes;
};
/// Nothing for a number that is no DW_TYPE_*.
std::optional<TypeLayout> type_layout(std::uint32_t type) noexcept;

/// A tensor that lies in linear memory as its strides say, no two elements in the same bytes.
struct CheckedTensor {
  std::uint32_t type = DW_TYPE_F32;
  std::array<std::int64_t, 4> ne{};   ///< elements, each at least 1
  std::array<std::uint64_t, 4> nb{};  ///< strides in bytes; nb[0] is the block's size
  ByteRange range;                    ///< from the first to the last byte

  std::uint64_t elements() const noexcept;
  bool contiguous() const noexcept;
  friend bool operator==(const CheckedTensor&, const CheckedTensor&) = default;
};

struct CheckedOp {
  std::uint32_t op = 0;
  std::uint32_t dst = 0;
  std::array<std::uint32_t, 4> src{};  ///< DW_NO_TENSOR where unused
  std::array<std::int32_t, 4> i{};
  std::array<float, 4> f{};
};

struct TensorProgram {
  std::vector<CheckedTensor> tensors;
  std::vector<CheckedOp> ops;
  std::uint64_t work = 0;  ///< as DW_MAX_WORK counts it
};

/// The records' own ranges; what is in them is check_tensor_program's.
struct TensorRecords {
  std::span<const std::byte> tensors;
  std::span<const std::byte> ops;
};
Result<TensorRecords> read_tensor_records(const GuestMemory& memory, std::uint32_t tensors, std::uint32_t n_tensors,
                                          std::uint32_t ops, std::uint32_t n_ops);

/// Checks all records against a memory of `memory_size` bytes. invalid_argument: what is wrong, with the tensor's or
/// op's index and the values; unsupported: types that an op does not take, or more work than DW_MAX_WORK.
Result<TensorProgram> check_tensor_program(const TensorRecords& records, std::size_t memory_size);

/// Checks the row indices of every DW_OP_GET_ROWS as they are in memory now.
Result<void> check_indices(const TensorProgram& program, const GuestMemory& memory);

}  // namespace driftwood
