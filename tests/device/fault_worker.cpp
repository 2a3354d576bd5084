// A device worker whose devices are those of tests: the null device in its kinds, of which "null" is a card that has
// 1 MiB free, and one that computes as it does and fails as its name says ("faulty:abort:3" ends the process in its
// third computation).
#include <ggml-cpu.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "device/cpu/graph_executor.hpp"
#include "device/null/null_device.hpp"
#include "device/worker/process.hpp"
#include "device/worker/server.hpp"

namespace driftwood {
namespace {

class FaultyDevice final : public Device {
 public:
  FaultyDevice(std::string name, std::string fault, int at, std::unique_ptr<GraphExecutor> executor)
      : Device({.name = std::move(name),
                .description = "A device that fails",
                .capabilities = {.import_sharing = Sharing::same_memory,
                                 .weights_sharing = Sharing::same_memory,
                                 .import_alignment = 32}}),
        fault_(std::move(fault)),
        at_(at),
        executor_(std::move(executor)) {}

 private:
  Result<Imported> import_impl(const HostBytes& bytes) override {
    return Imported{ggml_backend_cpu_buffer_from_ptr(bytes.data, bytes.size), Sharing::same_memory};
  }
  Result<void> compute_impl(ggml_cgraph* graph, const std::atomic<bool>* cancel) override {
    if (++computations_ == at_) DW_TRY(fail_now());
    return executor_->compute(graph, cancel);
  }
  Result<void> fail_now() const {
    if (fault_ == "abort") GGML_ABORT("as it was told");
    if (fault_ == "hang") std::this_thread::sleep_for(std::chrono::hours(1));
    if (fault_ == "lost") return fail(ErrorCode::device_lost, "The device was lost, as it was told.");
    if (fault_ == "memory") return fail(ErrorCode::out_of_memory, "The device has no memory, as it was told.");
    if (fault_ == "nonsense") {
      const std::string answer(100, 'x');
      static_cast<void>(::write(worker::kWorkerSocket, answer.data(), answer.size()));
    }
    return {};
  }
  bool supports_impl(const ggml_tensor* op) override {
    return ggml_backend_dev_supports_op(ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0), op);
  }
  ggml_backend_buffer_type_t scratch_type_impl() override { return ggml_backend_cpu_buffer_type(); }

  std::string fault_;
  int at_;
  int computations_ = 0;
  std::unique_ptr<GraphExecutor> executor_;
};

Result<std::unique_ptr<Device>> open(const std::string& name, const DeviceOptions&) {
  const auto null = [](const NullDeviceOptions& options) {
    return create_null_device(std::make_shared<NullDeviceControl>(options));
  };
  if (name == "null") return null({.sharing = Sharing::copied, .free_memory = kMiB});
  if (name == "null_over_bus") return null({.sharing = Sharing::mapped_over_bus, .host_kernels = false});
  if (name == "null_copied") return null({.sharing = Sharing::copied});
  if (name == "null_coarse") return null({.import_alignment = 4096, .tensor_alignment = 64, .max_import = kMiB});
  if (name == "dies") ::_exit(3);
  if (!name.starts_with("faulty:")) return fail(ErrorCode::not_found, "There is no device '" + name + "'.");
  const std::size_t colon = name.rfind(':');
  int at = 0;
  std::from_chars(name.data() + colon + 1, name.data() + name.size(), at);
  DW_TRY_ASSIGN(auto executor, GraphExecutor::create(1));
  return std::make_unique<FaultyDevice>(name, name.substr(7, colon - 7), at, std::move(executor));
}

}  // namespace
}  // namespace driftwood

int main() { return driftwood::worker::serve(driftwood::worker::kWorkerSocket, driftwood::open); }
