#include "device/worker/hosted_graph.hpp"

#include <algorithm>

namespace driftwood::worker {

Result<std::unique_ptr<HostedGraph>> HostedGraph::create(Device& device, const GraphMessage& message,
                                                         const FindImport& find_import) {
  std::unique_ptr<HostedGraph> hosted(new HostedGraph(message));
  DW_TRY_ASSIGN(hosted->graph_, Graph::create(device, message.tensors.size() + 1,
                                              [&](Graph& graph, ggml_context* context, ggml_cgraph* nodes) {
                                                return hosted->build(message, graph, context, nodes, find_import);
                                              }));
  return hosted;
}

Result<void> HostedGraph::build(const GraphMessage& message, Graph& graph, ggml_context* context, ggml_cgraph* nodes,
                                const FindImport& find_import) {
  for (const TensorRecord& record : message.tensors) {
    const auto index = static_cast<std::uint32_t>(tensors_.size());
    ggml_tensor* const tensor = ggml_new_tensor(context, static_cast<ggml_type>(record.type), GGML_MAX_DIMS, record.ne);
    std::ranges::copy(record.nb, tensor->nb);
    std::ranges::copy(record.op_params, tensor->op_params);
    tensor->op = static_cast<ggml_op>(record.op);
    tensor->flags = record.flags;
    for (int i = 0; i < GGML_MAX_SRC; ++i) {
      if (record.sources[i] >= 0) tensor->src[i] = tensors_[static_cast<std::size_t>(record.sources[i])];
    }
    if (record.view_of >= 0) {
      tensor->view_src = tensors_[static_cast<std::size_t>(record.view_of)];
      tensor->view_offs = record.view_offset;
      if (tensor->view_src->data != nullptr) {
        tensor->data = static_cast<std::byte*>(tensor->view_src->data) + record.view_offset;
      }
    }
    tensors_.push_back(tensor);
    if (record.import == 0) continue;
    places_.push_back({index, record.import, record.import_offset});
    DW_TRY(bind(graph, places_.back(), find_import));
  }
  for (const std::uint32_t node : message.nodes) ggml_build_forward_expand(nodes, tensors_[node]);
  return {};
}

Result<void> HostedGraph::bind(Graph& graph, Place& place, const FindImport& find_import) {
  const MappedImport* const import = find_import(place.import);
  if (import == nullptr) return broken("place");
  DW_TRY(graph.bind(tensors_[place.tensor], import->import(), place.offset));
  place.version = import->version();
  return {};
}

Result<void> HostedGraph::reshape(const RunRequest::Shape& shape) {
  if (shape.tensor >= tensors_.size()) return broken("shape");
  const TensorRecord& built = records_[shape.tensor];
  const auto extent = extent_of(built.type, shape.ne, shape.nb);
  const TensorRecord& root = built.view_of < 0 ? built : records_[static_cast<std::size_t>(built.view_of)];
  const auto whole = extent_of(root.type, root.ne, root.nb);
  const std::uint64_t offset = built.view_of < 0 ? 0 : built.view_offset;
  if (!extent || !ByteRange{offset, *extent}.within(*whole)) return broken("shape");
  std::ranges::copy(shape.ne, tensors_[shape.tensor]->ne);
  std::ranges::copy(shape.nb, tensors_[shape.tensor]->nb);
  return {};
}

bool HostedGraph::is_input(std::uint32_t tensor) const {
  return tensor < records_.size() && records_[tensor].import == 0 && tensors_[tensor]->data != nullptr;
}

Result<void> HostedGraph::run(const RunRequest& request, const FindImport& find_import,
                              const std::atomic<bool>* cancel) {
  for (const auto& shape : request.shapes) DW_TRY(reshape(shape));
  for (const auto& changed : request.places) {
    const auto place = std::ranges::find(places_, changed.tensor, &Place::tensor);
    if (place == places_.end()) return broken("place");
    place->import = changed.import;
    place->offset = changed.offset;
    place->version = 0;
  }
  for (Place& place : places_) {
    const MappedImport* const import = find_import(place.import);
    if (import == nullptr) return broken("place");
    if (place.version != import->version()) DW_TRY(bind(*graph_, place, find_import));
  }
  for (const auto& input : request.inputs) {
    if (!is_input(input.tensor) || input.bytes.size() > ggml_nbytes(tensors_[input.tensor])) return broken("input");
    DW_TRY(graph_->set(tensors_[input.tensor], input.bytes));
  }
  return graph_->run(cancel);
}

Result<void> HostedGraph::read(std::uint32_t tensor, std::span<std::byte> bytes) {
  if (!is_input(tensor) || bytes.size() > ggml_nbytes(tensors_[tensor])) return broken("read");
  return graph_->get(tensors_[tensor], bytes);
}

}  // namespace driftwood::worker
