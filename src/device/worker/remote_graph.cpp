#include "device/worker/remote_graph.hpp"

#include <ggml-backend.h>

#include <algorithm>
#include <cstring>

#include "device/graph.hpp"
#include "device/worker/remote_import.hpp"

namespace driftwood::worker {
namespace {

const ggml_tensor* root_of(const ggml_tensor* tensor) {
  return tensor->view_src == nullptr ? tensor : tensor->view_src;
}

}  // namespace

RemoteGraph::RemoteGraph(std::uint64_t id, ggml_cgraph* graph, const FindImport& find_import) : id_(id) {
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) nodes_.push_back(add(ggml_graph_node(graph, i)));
  for (std::uint32_t i = 0; i < tensors_.size(); ++i) {
    const ggml_tensor* const tensor = tensors_[i];
    State& state = built_.emplace_back();
    std::ranges::copy(tensor->ne, state.ne);
    std::ranges::copy(tensor->nb, state.nb);
    if (tensor->view_src == nullptr && find_import(tensor->buffer) != nullptr) {
      externals_.push_back({.index = i});
    }
  }
  for (const std::uint32_t index : nodes_) {
    const ggml_tensor* const node = tensors_[index];
    if (!is_computed(node)) continue;
    const auto external = std::ranges::find(externals_, indices_.at(root_of(node)), &External::index);
    if (external == externals_.end()) continue;
    writes_.push_back({node, static_cast<std::uint32_t>(external - externals_.begin())});
  }
}

// Nodes come in an order in which their sources are there, so that this goes no deeper than chains of views and leaves.
std::uint32_t RemoteGraph::add(ggml_tensor* tensor) {
  if (const auto known = indices_.find(tensor); known != indices_.end()) return known->second;
  if (tensor->view_src != nullptr) add(tensor->view_src);
  for (ggml_tensor* source : tensor->src) {
    if (source != nullptr) add(source);
  }
  const auto index = static_cast<std::uint32_t>(tensors_.size());
  tensors_.push_back(tensor);
  indices_.emplace(tensor, index);
  return index;
}

GraphMessage RemoteGraph::describe(const FindImport& find_import) {
  GraphMessage message;
  message.nodes = nodes_;
  states_ = built_;
  for (std::size_t at = 0; at < tensors_.size(); ++at) {
    const ggml_tensor* const tensor = tensors_[at];
    TensorRecord record = record_of(*tensor);
    std::ranges::copy(built_[at].ne, record.ne);
    std::ranges::copy(built_[at].nb, record.nb);
    if (tensor->view_src != nullptr) record.view_of = static_cast<std::int32_t>(indices_.at(tensor->view_src));
    for (int i = 0; i < GGML_MAX_SRC; ++i) {
      if (tensor->src[i] != nullptr) record.sources[i] = static_cast<std::int32_t>(indices_.at(tensor->src[i]));
    }
    message.tensors.push_back(record);
  }
  for (External& external : externals_) {
    const ggml_tensor* const tensor = tensors_[external.index];
    const RemoteImport* const import = find_import(tensor->buffer);
    DW_CHECK(import != nullptr);
    external.data = tensor->data;
    external.import = import->id;
    message.tensors[external.index].import = import->id;
    message.tensors[external.index].import_offset =
        static_cast<std::uint64_t>(static_cast<std::byte*>(tensor->data) - import->device);
  }
  return message;
}

void RemoteGraph::set_input(const ggml_tensor* tensor, std::span<const std::byte> bytes) {
  if (std::exchange(used_inputs_, false)) inputs_.clear();
  const std::uint32_t index = index_of(tensor);
  auto input = std::ranges::find(inputs_, index, [](const auto& known) { return known.first; });
  if (input == inputs_.end()) input = inputs_.insert(inputs_.end(), {index, {}});
  input->second.assign(bytes.begin(), bytes.end());
}

RunRequest RemoteGraph::changes(const FindImport& find_import) {
  RunRequest request;
  for (std::uint32_t i = 0; i < tensors_.size(); ++i) {
    const ggml_tensor* const tensor = tensors_[i];
    State& state = states_[i];
    if (std::memcmp(state.ne, tensor->ne, sizeof(state.ne)) == 0 &&
        std::memcmp(state.nb, tensor->nb, sizeof(state.nb)) == 0) {
      continue;
    }
    auto& shape = request.shapes.emplace_back();
    shape.tensor = i;
    std::ranges::copy(tensor->ne, shape.ne);
    std::ranges::copy(tensor->nb, shape.nb);
    std::ranges::copy(tensor->ne, state.ne);
    std::ranges::copy(tensor->nb, state.nb);
  }
  for (External& external : externals_) {
    const ggml_tensor* const tensor = tensors_[external.index];
    const RemoteImport* const import = find_import(tensor->buffer);
    DW_CHECK(import != nullptr);
    if (external.data == tensor->data && external.import == import->id) continue;
    external.data = tensor->data;
    external.import = import->id;
    request.places.push_back(
        {.tensor = external.index,
         .import = import->id,
         .offset = static_cast<std::uint64_t>(static_cast<std::byte*>(tensor->data) - import->device)});
  }
  if (!used_inputs_) {
    for (const auto& [index, bytes] : inputs_) request.inputs.push_back({index, bytes});
  }
  return request;
}

std::vector<RemoteGraph::Use> RemoteGraph::uses(const FindImport& find_import) const {
  std::vector<Use> uses;
  const auto use_of = [&](const ggml_tensor* tensor) -> Use& {
    RemoteImport* const import = find_import(tensor->buffer);
    DW_CHECK(import != nullptr);
    const auto known = std::ranges::find(uses, import, &Use::import);
    return known == uses.end() ? uses.emplace_back(import, std::vector<ByteRange>{}) : *known;
  };
  for (const External& external : externals_) use_of(tensors_[external.index]);
  for (const Write& write : writes_) {
    Use& use = use_of(tensors_[externals_[write.external].index]);
    const auto at = static_cast<std::size_t>(static_cast<const std::byte*>(write.node->data) - use.import->device);
    if (write.node->op == GGML_OP_SET_ROWS) {
      add_written_rows(write.node, at, use.writes);
    } else {
      use.writes.push_back({at, ggml_nbytes(write.node)});
    }
  }
  return uses;
}

/// Only the rows that the node's indices name, where these are an input of this run: a pass appends to a Context of
/// which the node's result is the whole.
void RemoteGraph::add_written_rows(const ggml_tensor* node, std::size_t at, std::vector<ByteRange>& writes) const {
  const ggml_tensor* const indices = node->src[1];
  const auto input = std::ranges::find(inputs_, indices_.at(indices), [](const auto& known) { return known.first; });
  if (used_inputs_ || input == inputs_.end() || indices->type != GGML_TYPE_I64 || node->ne[2] != 1 ||
      node->ne[3] != 1 || input->second.size() != ggml_nbytes(indices)) {
    writes.push_back({at, ggml_nbytes(node)});
    return;
  }
  const std::size_t row_bytes = ggml_row_size(node->type, node->ne[0]);
  for (std::size_t i = 0; i < input->second.size(); i += sizeof(std::int64_t)) {
    std::int64_t row = 0;
    std::memcpy(&row, input->second.data() + i, sizeof(row));
    DW_CHECK(row >= 0 && row < node->ne[1]);
    writes.push_back({at + static_cast<std::size_t>(row) * node->nb[1], row_bytes});
  }
}

}  // namespace driftwood::worker
