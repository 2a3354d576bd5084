// A ggml graph as bytes: its tensors, each after those that it is made of, and which of them are nodes.
//
// Tensors that lie in an import say where; all others get scratch memory where the graph runs. Values; any thread.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "device/worker/wire.hpp"

namespace driftwood::worker {

struct TensorRecord {
  std::uint32_t type = 0;
  std::uint32_t op = 0;
  std::int32_t flags = 0;
  std::int32_t view_of = -1;  ///< a tensor before it; -1: none
  std::int64_t ne[GGML_MAX_DIMS] = {};
  std::uint64_t nb[GGML_MAX_DIMS] = {};
  std::int32_t op_params[GGML_MAX_OP_PARAMS / sizeof(std::int32_t)] = {};
  std::int32_t sources[GGML_MAX_SRC] = {};  ///< tensors before it; -1: none
  std::uint64_t view_offset = 0;
  std::uint64_t import = 0;  ///< 0: none
  std::uint64_t import_offset = 0;
};

struct GraphMessage {
  std::vector<TensorRecord> tensors;
  std::vector<std::uint32_t> nodes;  ///< in the order of computation
};

/// Everything of `tensor` but what refers to others.
TensorRecord record_of(const ggml_tensor& tensor);

void encode(Writer& writer, const GraphMessage& graph);
/// corrupt: no such graph; unsupported: an operator that only this process could run. What it gives holds: every tensor
/// refers to ones before it only, has a type and a size that can be, and every view lies within what it is a view of.
Result<GraphMessage> decode_graph(std::span<const std::byte> bytes);

/// Bytes from a tensor's first to its last element; nothing where that cannot be: a row that is no whole number of
/// blocks, more than the address space.
std::optional<std::uint64_t> extent_of(std::uint32_t type, std::span<const std::int64_t, GGML_MAX_DIMS> ne,
                                       std::span<const std::uint64_t, GGML_MAX_DIMS> nb);

}  // namespace driftwood::worker
