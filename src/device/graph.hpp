// A computation that is built once and run many times.
//
// Tensors come from the ggml context that `build` gets; nothing is allocated
// after create(). Tensors bound to an Import lie in the host's (a guest's)
// memory and can be bound anew between runs; all others live in a scratch
// buffer of the device. One thread at a time.
#pragma once

#include <ggml-alloc.h>
#include <ggml.h>

#include <functional>
#include <memory>

#include "core/handle.hpp"
#include "device/device.hpp"

namespace driftwood {

class Graph {
 public:
  /// Builds nodes into the cgraph; binds external tensors through bind().
  using Build = std::function<Result<void>(Graph& graph, ggml_context* context, ggml_cgraph* nodes)>;

  /// `max_tensors` bounds tensors and nodes together. out_of_memory when the
  /// scratch buffer does not fit the device.
  static Result<std::unique_ptr<Graph>> create(Device& device, std::size_t max_tensors, const Build& build);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  /// Places `tensor` at `offset` of `import`; its views follow. During build, and
  /// between runs. invalid_argument when it does not fit or is not aligned for its type.
  Result<void> bind(ggml_tensor* tensor, const Import& import, std::size_t offset);

  /// Bytes of scratch memory on the device.
  std::size_t scratch_size() const noexcept;
  Result<void> run();

 private:
  explicit Graph(Device& device) : device_(&device) {}

  Device* device_;
  Handle<ggml_context, ggml_free> context_;
  Handle<ggml_gallocr, ggml_gallocr_free> allocator_;
  ggml_cgraph* nodes_ = nullptr;
};

}  // namespace driftwood
