// A computation that is built once and run many times.
//
// Tensors come from the ggml context that `build` gets; nothing is allocated
// after create(). Tensors bound to an Import lie in the host's (a guest's)
// memory and can be bound anew between runs; all others live in a scratch
// buffer of the device. One thread at a time.
//
// Scratch memory is used again within a run: set the inputs that lie there
// (ggml_set_input) before every run, and read what ggml_set_output kept after it.
#pragma once

#include <ggml-alloc.h>
#include <ggml.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/handle.hpp"
#include "device/device.hpp"

namespace driftwood {

/// Whether a node of a graph is computed; others only name bytes of another tensor (views, other shapes).
bool is_computed(const ggml_tensor* node);

class Graph {
 public:
  /// Builds nodes into the cgraph; binds external tensors through bind().
  using Build = std::function<Result<void>(Graph& graph, ggml_context* context, ggml_cgraph* nodes)>;

  /// `max_tensors` bounds tensors and nodes together; a build that makes more ends the
  /// process. unsupported: the device has no kernel for an operator; out_of_memory: the
  /// scratch buffer does not fit the device.
  static Result<std::unique_ptr<Graph>> create(Device& device, std::size_t max_tensors, const Build& build);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  /// Places `tensor` at `offset` of `import`, which must live until the last run that
  /// uses it; its views follow. During build, and between runs for tensors that were
  /// bound in build. invalid_argument when it does not fit, is not aligned for its type,
  /// or lies elsewhere (a view, scratch memory).
  Result<void> bind(ggml_tensor* tensor, const Import& import, std::size_t offset);
  /// The same at `address` of a buffer of the device, in its `size` bytes from there on.
  Result<void> bind(ggml_tensor* tensor, ggml_backend_buffer_t buffer, std::byte* address, std::size_t size);

  /// Fills an input that lies in scratch memory, from its start; reads an output that does. Fail as Device::write does.
  template <typename T>
  Result<void> set(ggml_tensor* tensor, std::span<const T> values) {
    return device_->write(tensor, std::as_bytes(values));
  }
  template <typename T>
  Result<void> get(const ggml_tensor* tensor, std::span<T> values) const {
    return device_->read(tensor, std::as_writable_bytes(values));
  }

  /// In build: what was added to `nodes` since the last cut, or since the beginning, is a part of its own.
  void cut(const ggml_cgraph* nodes) { cuts_.push_back(ggml_graph_n_nodes(const_cast<ggml_cgraph*>(nodes))); }

  std::uint32_t n_parts() const noexcept { return static_cast<std::uint32_t>(parts_.size()); }
  /// Bytes of scratch memory on the device.
  std::size_t scratch_size() const noexcept;
  /// Fails as Device::compute does.
  Result<void> run(const std::atomic<bool>* cancel = nullptr);
  /// Runs parts from number `begin` to before `end`; cuts end all but the last one. All of them, in their order, are a
  /// run: inputs are set before the first, and no other run may come in between. Fails as run() does.
  Result<void> run_parts(std::uint32_t begin, std::uint32_t end, const std::atomic<bool>* cancel = nullptr);

 private:
  explicit Graph(Device& device) : device_(&device) {}
  Result<void> check_supported() const;
  Result<void> check_bindable(const ggml_tensor* tensor) const;
  Result<void> place(ggml_tensor* tensor, ggml_backend_buffer_t buffer, std::byte* address);
  Result<void> allocate();
  Result<void> make_parts();
  void collect_external();
  std::span<ggml_tensor* const> views_of(const ggml_tensor* tensor) const;

  Device* device_;
  Handle<ggml_context, ggml_free> context_;
  Handle<ggml_gallocr, ggml_gallocr_free> allocator_;
  ggml_cgraph* nodes_ = nullptr;
  std::vector<int> cuts_;  ///< numbers of nodes
  Handle<ggml_context, ggml_free> parts_context_;
  std::vector<ggml_cgraph*> parts_;
  bool built_ = false;
  std::vector<const ggml_tensor*> external_;  ///< bound in build, by address
  std::vector<ggml_tensor*> views_;           ///< views of external tensors, by the tensor that they view
};

}  // namespace driftwood
