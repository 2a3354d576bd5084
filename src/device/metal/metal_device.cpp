#include "device/metal/metal_device.hpp"

#include <fmt/format.h>
#include <ggml.h>

#include "core/handle.hpp"
#include "device/ggml_status.hpp"
#include "memory/region.hpp"

namespace driftwood::metal {
namespace {

/// What kernels read in pieces of 16 bytes lies at multiples of them.
constexpr std::size_t kTensorAlignment = 16;

class MetalDevice final : public Device {
 public:
  MetalDevice(DeviceInfo info, ggml_backend_dev_t device, ggml_backend_t backend)
      : Device(std::move(info)),
        device_(device),
        backend_(backend),
        context_(
            ggml_init({.mem_size = ggml_graph_overhead_custom(1, false), .mem_buffer = nullptr, .no_alloc = true})),
        nothing_(ggml_new_graph_custom(context_.get(), 1, false)) {}

 private:
  Result<Imported> import_impl(const HostBytes& bytes) override {
    ggml_backend_buffer_t buffer = ggml_backend_dev_buffer_from_host_ptr(device_, bytes.data, bytes.size, bytes.size);
    if (buffer != nullptr) return Imported{buffer, Sharing::same_memory};
    return fail(ErrorCode::unsupported,
                fmt::format("Metal refused to share {} bytes of the host's memory with the device.", bytes.size));
  }

  Result<void> compute_impl(ggml_cgraph* graph, const std::atomic<bool>*) override {
    auto computed = result_of(ggml_backend_graph_compute(backend_.get(), graph));
    // ggml tells of a command that failed at the next call only: one with nothing to do.
    if (computed) computed = result_of(ggml_backend_graph_compute(backend_.get(), nothing_));
    if (!computed) DW_TRY(restart(computed.error()));
    return computed;
  }

  /// After a failed command ggml refuses all others.
  Result<void> restart(const Error& failure) {
    backend_.reset();
    backend_.reset(ggml_backend_dev_init(device_, nullptr));
    if (backend_ != nullptr) return {};
    return fail(ErrorCode::device_lost, fmt::format("{} The device could not be set up again.", failure.message));
  }

  bool supports_impl(const ggml_tensor* op) override { return ggml_backend_dev_supports_op(device_, op); }
  ggml_backend_buffer_type_t scratch_type_impl() override { return ggml_backend_dev_buffer_type(device_); }

  ggml_backend_dev_t device_;
  Handle<ggml_backend, ggml_backend_free> backend_;
  Handle<ggml_context, ggml_free> context_;
  ggml_cgraph* nothing_;  ///< without nodes
};

}  // namespace

DeviceInfo describe(ggml_backend_dev_t device) {
  std::size_t free = 0;
  std::size_t total = 0;
  ggml_backend_dev_memory(device, &free, &total);
  const char* const description = ggml_backend_dev_description(device);
  return {
      .name = "metal",
      .description = description,
      .memory_total = total,
      .capabilities = {.host_addresses = true,
                       .import_sharing = Sharing::same_memory,
                       .weights_sharing = Sharing::same_memory,
                       .import_alignment = page_size(),
                       .tensor_alignment = kTensorAlignment,
                       .max_import = ggml_backend_buft_get_max_size(ggml_backend_dev_buffer_type(device))},
      .numerics = {.device = fmt::format("metal: {}", description), .kernels = fmt::format("ggml {}", ggml_version())}};
}

Result<std::unique_ptr<Device>> create_device(ggml_backend_dev_t device) {
  ggml_backend_t made = ggml_backend_dev_init(device, nullptr);
  if (made == nullptr) return fail(ErrorCode::unavailable, "The device (metal) cannot be set up.");
  return std::make_unique<MetalDevice>(describe(device), device, made);
}

}  // namespace driftwood::metal
