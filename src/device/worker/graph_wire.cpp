#include "device/worker/graph_wire.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace driftwood::worker {
namespace {

constexpr std::uint64_t kLargest = std::uint64_t{1} << 47;  // bytes of a tensor: more than the address space

/// Sources without which an operator cannot be looked at.
int least_sources(ggml_op op) {
  switch (op) {
    case GGML_OP_NONE:
    case GGML_OP_ARANGE: return 0;
    case GGML_OP_ADD:
    case GGML_OP_ADD1:
    case GGML_OP_ACC:
    case GGML_OP_SUB:
    case GGML_OP_MUL:
    case GGML_OP_DIV:
    case GGML_OP_CONCAT:
    case GGML_OP_REPEAT_BACK:
    case GGML_OP_SILU_BACK:
    case GGML_OP_RMS_NORM_BACK:
    case GGML_OP_MUL_MAT:
    case GGML_OP_OUT_PROD:
    case GGML_OP_SET:
    case GGML_OP_CPY:
    case GGML_OP_GET_ROWS:
    case GGML_OP_SET_ROWS:
    case GGML_OP_ROPE:
    case GGML_OP_CONV_2D:
    case GGML_OP_IM2COL: return 2;
    case GGML_OP_MUL_MAT_ID:
    case GGML_OP_FLASH_ATTN_EXT: return 3;
    default: return 1;
  }
}

bool runs_host_functions(ggml_op op) {
  return op == GGML_OP_CUSTOM || op == GGML_OP_MAP_CUSTOM1 || op == GGML_OP_MAP_CUSTOM2 || op == GGML_OP_MAP_CUSTOM3;
}

Result<void> check(const TensorRecord& tensor, std::span<const TensorRecord> before) {
  const auto is_before = [&](std::int32_t index) {
    return index >= -1 && index < static_cast<std::int32_t>(before.size());
  };
  const auto extent = extent_of(tensor.type, tensor.ne, tensor.nb);
  if (!extent || tensor.op >= GGML_OP_COUNT || !is_before(tensor.view_of)) return broken("graph");
  const auto op = static_cast<ggml_op>(tensor.op);
  if (runs_host_functions(op)) {
    return fail(ErrorCode::unsupported,
                fmt::format("An operator of this process ({}) cannot run in a device worker.", ggml_op_name(op)));
  }
  for (int i = 0; i < GGML_MAX_SRC; ++i) {
    if (!is_before(tensor.sources[i]) || (i < least_sources(op) && tensor.sources[i] < 0)) return broken("graph");
  }
  if (tensor.view_of < 0) return {};
  const TensorRecord& viewed = before[static_cast<std::size_t>(tensor.view_of)];
  const auto whole = extent_of(viewed.type, viewed.ne, viewed.nb);
  // ggml makes a view of a view one of the tensor itself.
  if (viewed.view_of >= 0 || tensor.import != 0 || !ByteRange{tensor.view_offset, *extent}.within(*whole)) {
    return broken("graph");
  }
  return {};
}

}  // namespace

std::optional<std::uint64_t> extent_of(std::uint32_t type, std::span<const std::int64_t, GGML_MAX_DIMS> ne,
                                       std::span<const std::uint64_t, GGML_MAX_DIMS> nb) {
  if (type >= GGML_TYPE_COUNT) return std::nullopt;
  const std::size_t block_bytes = ggml_type_size(static_cast<ggml_type>(type));
  const std::int64_t block = ggml_blck_size(static_cast<ggml_type>(type));
  if (block_bytes == 0 || block <= 0 || ne[0] % block != 0) return std::nullopt;
  std::uint64_t extent = 0;
  std::uint64_t elements = 1;
  for (std::size_t i = 0; i < GGML_MAX_DIMS; ++i) {
    if (ne[i] < 0 || nb[i] > kLargest) return std::nullopt;
    const auto n = static_cast<std::uint64_t>(ne[i]);
    const auto product = checked_mul(elements, n);
    if (!product || *product > kLargest) return std::nullopt;
    elements = *product;
    // As ggml_nbytes counts: elements of types without blocks may lie apart, those in blocks do not.
    const std::uint64_t steps = i == 0 && block > 1 ? n / static_cast<std::uint64_t>(block) : n == 0 ? 0 : n - 1;
    const auto span = checked_mul(steps, nb[i]);
    if (!span || *span > kLargest) return std::nullopt;
    extent += *span;
  }
  if (elements == 0) return 0;
  if (block == 1) extent += block_bytes;
  return extent <= kLargest ? std::optional(extent) : std::nullopt;
}

TensorRecord record_of(const ggml_tensor& tensor) {
  TensorRecord record;
  record.type = static_cast<std::uint32_t>(tensor.type);
  record.op = static_cast<std::uint32_t>(tensor.op);
  record.flags = tensor.flags;
  std::ranges::copy(tensor.ne, record.ne);
  std::ranges::copy(tensor.nb, record.nb);
  std::ranges::copy(tensor.op_params, record.op_params);
  std::ranges::fill(record.sources, -1);
  record.view_offset = tensor.view_src == nullptr ? 0 : tensor.view_offs;
  return record;
}

void encode(Writer& writer, const GraphMessage& graph) {
  writer.put(static_cast<std::uint32_t>(graph.tensors.size()));
  for (const TensorRecord& tensor : graph.tensors) writer.put(tensor);
  writer.put(static_cast<std::uint32_t>(graph.nodes.size()));
  for (const std::uint32_t node : graph.nodes) writer.put(node);
}

Result<GraphMessage> decode_graph(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  GraphMessage graph;
  const std::uint32_t tensors = reader.get_count(sizeof(TensorRecord));
  graph.tensors.reserve(tensors);
  for (std::uint32_t i = 0; i < tensors; ++i) {
    const auto tensor = reader.get<TensorRecord>();
    DW_TRY(check(tensor, graph.tensors));
    graph.tensors.push_back(tensor);
  }
  const std::uint32_t nodes = reader.get_count(sizeof(std::uint32_t));
  for (std::uint32_t i = 0; i < nodes; ++i) {
    const auto node = reader.get<std::uint32_t>();
    const bool rises = graph.nodes.empty() || node > graph.nodes.back();
    if (!rises || node >= tensors || graph.tensors[node].op == GGML_OP_NONE) return broken("graph");
    graph.nodes.push_back(node);
  }
  if (!reader.ended()) return broken("graph");
  return graph;
}

}  // namespace driftwood::worker
