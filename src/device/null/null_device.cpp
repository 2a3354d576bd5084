#include "device/null/null_device.hpp"

#include <fmt/format.h>
#include <ggml-cpu.h>

#include <bit>

#include "device/cpu/graph_executor.hpp"
#include "device/cpu/kernel_features.hpp"
#include "device/mirror/mirror_cache.hpp"
#include "device/null/host_mirror_memory.hpp"
#include "device/null/mirrors.hpp"
#include "device/null/null_decoder.hpp"

namespace driftwood {
namespace {

constexpr std::size_t kMirrorChunk = 64 * kKiB;

bool is_custom(ggml_op op) {
  return op == GGML_OP_CUSTOM || op == GGML_OP_MAP_CUSTOM1 || op == GGML_OP_MAP_CUSTOM2 || op == GGML_OP_MAP_CUSTOM3;
}

DeviceInfo describe(const NullDeviceOptions& options) {
  return {.name = "null",
          .description = "A fake device for tests",
          .threads = 1,
          .capabilities = {.host_kernels = options.host_kernels,
                           .host_addresses = options.sharing != Sharing::copied,
                           .import_sharing = options.sharing,
                           .weights_sharing = options.sharing,
                           .import_alignment = options.import_alignment,
                           .tensor_alignment = options.tensor_alignment,
                           .max_import = options.max_import},
          .numerics = {.device = "null",
                       .kernels = fmt::format("ggml {}, driftwood 1", ggml_version()),
                       .features = cpu::kernel_features()}};
}

}  // namespace

class NullDevice final : public Device {
 public:
  NullDevice(DeviceInfo info, std::shared_ptr<NullDeviceControl> control, std::unique_ptr<GraphExecutor> executor,
             std::unique_ptr<MirrorCache> mirror_cache)
      : Device(std::move(info)),
        control_(std::move(control)),
        executor_(std::move(executor)),
        mirror_cache_(std::move(mirror_cache)) {}

 private:
  bool copies() const noexcept { return control_->options().sharing == Sharing::copied; }

  Result<Imported> import_impl(const HostBytes& bytes) override {
    DW_TRY(control_->next(NullStep::import));
    const Sharing sharing = control_->options().sharing;
    if (!copies()) return Imported{ggml_backend_cpu_buffer_from_ptr(bytes.data, bytes.size), sharing};
    DW_TRY_ASSIGN(ggml_backend_buffer_t buffer, mirrors_.add(bytes.data, bytes.size, bytes.read_only));
    if (bytes.read_only) count_copied(bytes.size);
    return Imported{buffer, sharing};
  }

  std::optional<std::uint64_t> free_memory_impl() override { return control_->options().free_memory; }

  void release_impl(ggml_backend_buffer_t buffer) noexcept override {
    copies() ? mirrors_.remove(buffer) : ggml_backend_buffer_free(buffer);
  }

  Result<void> adopt_impl(ggml_cgraph*) override { return control_->next(NullStep::adopt); }

  Result<void> write_impl(ggml_tensor* tensor, std::span<const std::byte> bytes) override {
    DW_TRY(control_->next(NullStep::write));
    ggml_backend_tensor_set(tensor, bytes.data(), 0, bytes.size());
    return {};
  }
  Result<void> read_impl(const ggml_tensor* tensor, std::span<std::byte> bytes) override {
    DW_TRY(control_->next(NullStep::read));
    ggml_backend_tensor_get(tensor, bytes.data(), 0, bytes.size());
    return {};
  }

  Result<void> compute_impl(ggml_cgraph* graph, const std::atomic<bool>* cancel) override {
    DW_TRY(control_->next(NullStep::compute));
    count_copied(mirrors_.pull(graph));
    DW_TRY(executor_->compute(graph, cancel));
    count_copied(mirrors_.push(graph));
    return control_->next(NullStep::late_compute);
  }

  bool supports_impl(const ggml_tensor* op) override {
    if (is_custom(op->op)) return control_->options().host_kernels;
    return ggml_backend_dev_supports_op(ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0), op);
  }

  ggml_backend_buffer_type_t scratch_type_impl() override { return ggml_backend_cpu_buffer_type(); }
  MirrorCache* mirrors_impl() noexcept override { return mirror_cache_.get(); }
  Result<std::unique_ptr<Decoder>> make_decoder_impl(const DecoderModel& model) override {
    if (control_->options().decoder) return make_null_decoder(model, control_);
    return fail(ErrorCode::unsupported, "The device (null) was not told to have a decoder.");
  }

  std::shared_ptr<NullDeviceControl> control_;
  std::unique_ptr<GraphExecutor> executor_;
  Mirrors mirrors_;
  std::unique_ptr<MirrorCache> mirror_cache_;  ///< null: none
};

Result<std::unique_ptr<Device>> create_null_device(std::shared_ptr<NullDeviceControl> control) {
  DW_CHECK(control != nullptr);
  const NullDeviceOptions& options = control->options();
  const std::size_t least = ggml_backend_buft_get_alignment(ggml_backend_cpu_buffer_type());
  if (!std::has_single_bit(options.import_alignment) || options.import_alignment < least) {
    return fail(ErrorCode::invalid_argument, fmt::format("Import alignment ({}) is not a power of two of at least {}.",
                                                         options.import_alignment, least));
  }
  DW_TRY_ASSIGN(auto executor, GraphExecutor::create(1));
  std::unique_ptr<MirrorCache> mirror_cache;
  if (options.mirror_chunks != 0) {
    DW_TRY_ASSIGN(auto memory, HostMirrorMemory::create(kMirrorChunk, options.mirror_chunks, control));
    DW_TRY_ASSIGN(mirror_cache, MirrorCache::create(std::move(memory), options.mirror_chunks * kMirrorChunk));
  }
  return std::make_unique<NullDevice>(describe(options), std::move(control), std::move(executor),
                                      std::move(mirror_cache));
}

DeviceDriver null_driver() {
  return {.name = "null",
          .likely = [] { return false; },
          .list = []() -> Result<std::vector<DeviceListing>> {
            std::vector<DeviceListing> devices(1);
            devices.front().info = describe({});
            return devices;
          },
          .open = [](std::uint32_t,
                     const DeviceOptions&) { return create_null_device(std::make_shared<NullDeviceControl>()); }};
}

}  // namespace driftwood
