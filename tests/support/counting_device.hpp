// The CPU as a device that tells how many graphs it holds.
#pragma once

#include <ggml-cpu.h>

#include <cstddef>
#include <memory>
#include <set>
#include <utility>

#include "device/cpu/graph_executor.hpp"
#include "device/device.hpp"
#include "support/value_of.hpp"

namespace driftwood::testing {

class CountingDevice final : public Device {
 public:
  explicit CountingDevice(int threads)
      : Device(value_of(open_device("cpu", {.threads = threads}))->info()),
        executor_(value_of(GraphExecutor::create(threads))) {}

  /// Those that were adopted and not forgotten; each part of a graph is one, too.
  std::size_t graphs() const { return graphs_.size(); }

 private:
  Result<Imported> import_impl(const HostBytes& bytes) override {
    return Imported{ggml_backend_cpu_buffer_from_ptr(bytes.data, bytes.size), Sharing::same_memory};
  }
  Result<void> adopt_impl(ggml_cgraph* graph) override {
    graphs_.insert(graph);
    return {};
  }
  void forget_impl(const ggml_cgraph* graph) noexcept override { graphs_.erase(graph); }
  Result<void> compute_impl(ggml_cgraph* graph, const std::atomic<bool>* cancel) override {
    return executor_->compute(graph, cancel);
  }
  void rest_impl() noexcept override { executor_->rest(); }
  bool supports_impl(const ggml_tensor* op) override {
    return ggml_backend_dev_supports_op(ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0), op);
  }
  Crew* crew_impl() noexcept override { return &executor_->crew(); }
  ggml_backend_buffer_type_t scratch_type_impl() override { return ggml_backend_cpu_buffer_type(); }

  std::unique_ptr<GraphExecutor> executor_;
  std::set<const ggml_cgraph*> graphs_;
};

}  // namespace driftwood::testing
