#include "device/graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace driftwood {
namespace {

/// What an address must be a multiple of for an element or block of `type`: the power
/// of two in its size, of which no type needs more than 8.
std::size_t natural_alignment(ggml_type type) {
  const std::size_t size = ggml_type_size(type);
  return std::min<std::size_t>(size & (~size + 1), 8);
}

}  // namespace

bool is_computed(const ggml_tensor* node) {
  switch (node->op) {
    case GGML_OP_NONE:
    case GGML_OP_RESHAPE:
    case GGML_OP_VIEW:
    case GGML_OP_PERMUTE:
    case GGML_OP_TRANSPOSE: return false;
    default: return true;
  }
}

Result<std::unique_ptr<Graph>> Graph::create(Device& device, std::size_t max_tensors, const Build& build) {
  std::unique_ptr<Graph> graph(new Graph(device));
  graph->context_.reset(
      ggml_init({.mem_size = max_tensors * ggml_tensor_overhead() + ggml_graph_overhead_custom(max_tensors, false),
                 .mem_buffer = nullptr,
                 .no_alloc = true}));
  if (graph->context_ == nullptr) {
    return fail(ErrorCode::out_of_memory, fmt::format("There is no memory for a graph of {} tensors.", max_tensors));
  }
  graph->nodes_ = ggml_new_graph_custom(graph->context_.get(), max_tensors, false);
  DW_TRY(build(*graph, graph->context_.get(), graph->nodes_));
  DW_TRY(graph->check_supported());
  graph->collect_external();
  DW_TRY(graph->allocate());
  DW_TRY(device.adopt(graph->nodes_));
  if (!graph->cuts_.empty()) DW_TRY(graph->make_parts());
  graph->built_ = true;
  return graph;
}

Graph::~Graph() {
  for (const ggml_cgraph* part : parts_) device_->forget(part);
  if (nodes_ != nullptr) device_->forget(nodes_);
  if (device_->leaves_memory()) static_cast<void>(allocator_.release());
}

Result<void> Graph::check_supported() const {
  for (int i = 0; i < ggml_graph_n_nodes(nodes_); ++i) {
    const ggml_tensor* node = ggml_graph_node(nodes_, i);
    if (device_->supports(node)) continue;
    std::string sources;
    for (const ggml_tensor* source : node->src) {
      if (source != nullptr) sources += fmt::format("{}{}", sources.empty() ? "" : ", ", ggml_type_name(source->type));
    }
    return fail(ErrorCode::unsupported,
                fmt::format("The device ({}) cannot compute {} of ({}) into {}.", device_->info().name,
                            ggml_op_desc(node), sources, ggml_type_name(node->type)));
  }
  return {};
}

void Graph::collect_external() {
  ggml_context* context = context_.get();
  for (ggml_tensor* t = ggml_get_first_tensor(context); t != nullptr; t = ggml_get_next_tensor(context, t)) {
    if (t->view_src == nullptr && t->buffer != nullptr) external_.push_back(t);
    if (t->view_src != nullptr && t->view_src->buffer != nullptr) views_.push_back(t);
  }
  std::ranges::sort(external_);
  std::ranges::sort(views_, {}, &ggml_tensor::view_src);
}

Result<void> Graph::allocate() {
  allocator_.reset(ggml_gallocr_new(device_->scratch_type()));
  if (allocator_ != nullptr && ggml_gallocr_alloc_graph(allocator_.get(), nodes_)) return {};
  return fail(ErrorCode::out_of_memory,
              fmt::format("The scratch memory of a graph does not fit the device ({}).", device_->info().name));
}

/// Each part is a graph over some of the nodes, which stay where they were placed for all.
Result<void> Graph::make_parts() {
  cuts_.push_back(ggml_graph_n_nodes(nodes_));
  std::size_t size = 0;
  int begin = 0;
  for (const int end : cuts_) {
    size += ggml_graph_overhead_custom(static_cast<std::size_t>(end - begin), false);
    begin = end;
  }
  parts_context_.reset(ggml_init({.mem_size = size, .mem_buffer = nullptr, .no_alloc = true}));
  if (parts_context_ == nullptr) {
    return fail(ErrorCode::out_of_memory, fmt::format("There is no memory for {} parts of a graph.", cuts_.size()));
  }
  begin = 0;
  for (const int end : cuts_) {
    ggml_cgraph* part = ggml_new_graph_custom(parts_context_.get(), static_cast<std::size_t>(end - begin), false);
    for (; begin < end; ++begin) ggml_graph_add_node(part, ggml_graph_node(nodes_, begin));
    DW_TRY(device_->adopt(part));
    parts_.push_back(part);
  }
  return {};
}

std::span<ggml_tensor* const> Graph::views_of(const ggml_tensor* tensor) const {
  const auto found = std::ranges::equal_range(
      views_, tensor, {}, [](const ggml_tensor* view) -> const ggml_tensor* { return view->view_src; });
  return {found.begin(), found.end()};
}

Result<void> Graph::check_bindable(const ggml_tensor* tensor) const {
  if (tensor->view_src == nullptr && (!built_ || std::ranges::binary_search(external_, tensor))) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("Tensor ({}) is {}, so that it cannot be bound.", ggml_get_name(tensor),
                          tensor->view_src != nullptr ? "a view of another one" : "in scratch memory"));
}

Result<void> Graph::bind(ggml_tensor* tensor, ggml_backend_buffer_t buffer, std::byte* address, std::size_t size) {
  DW_TRY(check_bindable(tensor));
  const std::size_t needed = ggml_backend_buffer_get_alloc_size(buffer, tensor);
  if (needed > size) {
    return fail(ErrorCode::invalid_argument, fmt::format("Tensor ({}) of {} bytes does not fit its place ({}).",
                                                         ggml_get_name(tensor), needed, size));
  }
  return place(tensor, buffer, address);
}

Result<void> Graph::bind(ggml_tensor* tensor, const Import& import, std::size_t offset) {
  DW_TRY(check_bindable(tensor));
  const ByteRange range{offset, ggml_backend_buffer_get_alloc_size(import.buffer(), tensor)};
  if (!range.within(import.size())) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Tensor ({}) of {} bytes at offset {} does not lie within its import ({}).",
                            ggml_get_name(tensor), range.size, range.offset, import.size()));
  }
  std::byte* const address = import.device_address(offset);
  if (!is_aligned(reinterpret_cast<std::uintptr_t>(address), natural_alignment(tensor->type))) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("Tensor ({}) at offset {} is not aligned to {} bytes, as its type ({}) needs it.",
                    ggml_get_name(tensor), offset, natural_alignment(tensor->type), ggml_type_name(tensor->type)));
  }
  const std::size_t alignment = device_->info().capabilities.tensor_alignment;
  if (!is_aligned(reinterpret_cast<std::uintptr_t>(address), alignment)) {
    return fail(ErrorCode::unsupported,
                fmt::format("Tensor ({}) at offset {} is not aligned to {} bytes, as the device ({}) needs it.",
                            ggml_get_name(tensor), offset, alignment, device_->info().name));
  }
  return place(tensor, import.buffer(), address);
}

Result<void> Graph::place(ggml_tensor* tensor, ggml_backend_buffer_t buffer, std::byte* address) {
  tensor->buffer = nullptr;
  tensor->data = nullptr;
  bool placed = ggml_backend_tensor_alloc(buffer, tensor, address) == GGML_STATUS_SUCCESS;
  for (ggml_tensor* view : views_of(tensor)) {
    view->buffer = nullptr;
    placed = placed && ggml_backend_view_init(view) == GGML_STATUS_SUCCESS;
  }
  if (placed) return {};
  return fail(ErrorCode::out_of_memory, fmt::format("The device ({}) has no room for the tensor ({}).",
                                                    device_->info().name, ggml_get_name(tensor)));
}

std::size_t Graph::scratch_size() const noexcept { return ggml_gallocr_get_buffer_size(allocator_.get(), 0); }

Result<void> Graph::run(const std::atomic<bool>* cancel) { return device_->compute(nodes_, cancel); }

Result<void> Graph::run_parts(std::uint32_t begin, std::uint32_t end, const std::atomic<bool>* cancel) {
  DW_CHECK(begin < end && end <= parts_.size());
  for (ggml_cgraph* part : std::span(parts_).subspan(begin, end - begin)) DW_TRY(device_->compute(part, cancel));
  return {};
}

}  // namespace driftwood
