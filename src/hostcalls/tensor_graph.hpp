// A checked TensorProgram as a graph of the device over linear memory.
#pragma once

#include <memory>

#include "device/device.hpp"
#include "device/graph.hpp"
#include "hostcalls/tensor_check.hpp"

namespace driftwood {

/// Every tensor of the graph lies in `memory`, an import of the linear memory, which must outlive the graph; running it
/// runs the ops in their order.
Result<std::unique_ptr<Graph>> build_tensor_graph(Device& device, const Import& memory, const TensorProgram& program);

}  // namespace driftwood
