// A node's graph, built again over the worker's own imports and scratch memory. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "device/graph.hpp"
#include "device/worker/graph_wire.hpp"
#include "device/worker/mapped_import.hpp"

namespace driftwood::worker {

class HostedGraph {
 public:
  /// The import of an id, or null.
  using FindImport = std::function<const MappedImport*(std::uint64_t id)>;

  /// Fails as Graph::create and Graph::bind do; corrupt: it lies in imports that there are not.
  static Result<std::unique_ptr<HostedGraph>> create(Device& device, const GraphMessage& message,
                                                     const FindImport& find_import);

  /// corrupt: shapes larger than the tensors that were built, inputs that do not fit, a tensor that there is not.
  Result<void> run(const RunRequest& request, const FindImport& find_import, const std::atomic<bool>* cancel);
  /// The first bytes of a tensor in scratch memory.
  Result<void> read(std::uint32_t tensor, std::span<std::byte> bytes);

 private:
  struct Place {
    std::uint32_t tensor;
    std::uint64_t import;
    std::uint64_t offset;
    std::uint64_t version = 0;  ///< of the import, when it was placed last
  };

  explicit HostedGraph(const GraphMessage& message) : records_(message.tensors) {}
  Result<void> build(const GraphMessage& message, Graph& graph, ggml_context* context, ggml_cgraph* nodes,
                     const FindImport& find_import);
  Result<void> bind(Graph& graph, Place& place, const FindImport& find_import);
  Result<void> reshape(const RunRequest::Shape& shape);
  bool is_input(std::uint32_t tensor) const;

  std::vector<TensorRecord> records_;  ///< as built
  std::vector<ggml_tensor*> tensors_;
  std::vector<Place> places_;
  std::unique_ptr<Graph> graph_;
};

}  // namespace driftwood::worker
