#include "device/cpu/cpu_device.hpp"

#include <fmt/format.h>
#include <ggml-cpu.h>

#include <algorithm>

#include "device/cpu/graph_executor.hpp"
#include "device/cpu/host_cores.hpp"
#include "device/cpu/kernel_features.hpp"

namespace driftwood {
namespace {

class CpuDevice final : public Device {
 public:
  CpuDevice(DeviceInfo info, ggml_backend_dev_t backend, std::unique_ptr<GraphExecutor> executor)
      : Device(std::move(info)), backend_(backend), executor_(std::move(executor)) {}

 private:
  Result<Imported> import_impl(const HostBytes& bytes) override {
    return Imported{ggml_backend_cpu_buffer_from_ptr(bytes.data, bytes.size), Sharing::same_memory};
  }
  Result<void> compute_impl(ggml_cgraph* graph, const std::atomic<bool>* cancel) override {
    return executor_->compute(graph, cancel);
  }
  void rest_impl() noexcept override { executor_->rest(); }
  bool supports_impl(const ggml_tensor* op) override { return ggml_backend_dev_supports_op(backend_, op); }
  Crew* crew_impl() noexcept override { return &executor_->crew(); }
  ggml_backend_buffer_type_t scratch_type_impl() override { return ggml_backend_cpu_buffer_type(); }

  ggml_backend_dev_t backend_;
  std::unique_ptr<GraphExecutor> executor_;
};

ggml_backend_dev_t cpu_backend() { return ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0); }

int default_threads() { return std::min(host_cores(), GGML_MAX_N_THREADS); }

DeviceInfo describe(int threads) {
  std::size_t memory_free = 0;
  std::size_t memory_total = 0;
  ggml_backend_dev_memory(cpu_backend(), &memory_free, &memory_total);
  return {.name = "cpu",
          .description = ggml_backend_dev_description(cpu_backend()),
          .memory_total = memory_total,
          .threads = threads,
          .capabilities = {.host_kernels = true,
                           .host_addresses = true,
                           .import_sharing = Sharing::same_memory,
                           .weights_sharing = Sharing::same_memory,
                           .import_alignment = ggml_backend_buft_get_alignment(ggml_backend_cpu_buffer_type())},
          .numerics = {.device = "cpu",
                       .kernels = fmt::format("ggml {}, driftwood {}", ggml_version(), cpu::kKernelsVersion),
                       .features = cpu::kernel_features()}};
}

}  // namespace

Result<std::unique_ptr<Device>> create_cpu_device(const DeviceOptions& options) {
  if (options.threads < 0 || options.threads > GGML_MAX_N_THREADS) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Number of threads ({}) is not in 1 to {}, or 0 for one on each core.", options.threads,
                            GGML_MAX_N_THREADS));
  }
  const int threads = options.threads != 0 ? options.threads : default_threads();
  DW_TRY_ASSIGN(auto executor, GraphExecutor::create(threads));
  return std::make_unique<CpuDevice>(describe(threads), cpu_backend(), std::move(executor));
}

DeviceDriver cpu_driver() {
  return {.name = "cpu",
          .likely = [] { return false; },
          .list = []() -> Result<std::vector<DeviceListing>> {
            std::vector<DeviceListing> devices(1);
            devices.front().info = describe(default_threads());
            return devices;
          },
          .open = [](std::uint32_t, const DeviceOptions& options) { return create_cpu_device(options); }};
}

}  // namespace driftwood
