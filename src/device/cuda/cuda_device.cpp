#include "device/cuda/cuda_device.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <ggml.h>

#include <algorithm>

#include "core/handle.hpp"
#include "core/log.hpp"
#include "device/cuda/buffers.hpp"
#include "device/cuda/decode/decoder.hpp"
#include "device/cuda/host_pages.hpp"
#include "device/cuda/mirror_memory.hpp"
#include "device/cuda/staging.hpp"
#include "device/cuda/status.hpp"
#include "device/ggml_status.hpp"
#include "device/mirror/mirror_cache.hpp"

namespace driftwood::cuda {
namespace {

/// What kernels read in pieces of 16 bytes lies at multiples of them.
constexpr std::size_t kTensorAlignment = 16;

constexpr std::size_t kImportAlignment = 32;

/// Of the thread's device; nothing where it cannot be asked.
std::optional<std::size_t> free_bytes() {
  std::size_t free = 0;
  std::size_t total = 0;
  if (!check(cudaMemGetInfo(&free, &total), "asking for the free memory")) return std::nullopt;
  return free;
}

class CudaDevice final : public Device {
 public:
  CudaDevice(int number, DeviceInfo info, ggml_backend_dev_t device, ggml_backend_t backend)
      : Device(std::move(info)), number_(number), device_(device), backend_(backend) {}

  /// What is left of a lost device stays as it is: ggml ends the process where it cannot free something.
  ~CudaDevice() override {
    if (leaves_memory_impl()) static_cast<void>(backend_.release());
  }

  /// `budget`: of the mirrors, in bytes.
  Result<void> add_mirrors(std::size_t budget) {
    DW_TRY_ASSIGN(staging_, Staging::create(number_));
    DW_TRY_ASSIGN(auto memory, CudaMirrorMemory::create(number_, buffer_type(), *staging_));
    CudaMirrorMemory* const made = memory.get();
    DW_TRY_ASSIGN(mirrors_, MirrorCache::create(std::move(memory), budget));
    mirror_memory_ = made;
    mirror_budget_ = budget;
    return {};
  }

 private:
  ggml_backend_buffer_type_t buffer_type() const { return ggml_backend_dev_buffer_type(device_); }
  /// CUDA's current device is the thread's.
  Result<void> choose() const { return check(cudaSetDevice(number_), "choosing the device"); }
  /// device_lost: a kernel failed earlier, whoever started it. ggml, which did not hear of it, would end the process at
  /// its next call.
  Result<void> choose_sound() const {
    DW_TRY(choose());
    const cudaError_t status = cudaStreamQuery(cudaStreamPerThread);
    if (status != cudaErrorNotReady) return check(status, "what ran before");
    // It is this thread's last error now, which ggml would take for one of its own.
    cudaGetLastError();
    return {};
  }
  bool leaves_memory_impl() noexcept override {
    return cudaSetDevice(number_) != cudaSuccess || cudaDeviceSynchronize() != cudaSuccess;
  }

  Result<Imported> import_impl(const HostBytes& bytes) override {
    DW_TRY(choose());
    if (!bytes.read_only) {
      return Imported{make_host_buffer(buffer_type(), pages_, bytes.data, bytes.size),
                      info().capabilities.import_sharing};
    }
    const auto copy = [&] { return make_weights_buffer(buffer_type(), bytes.data, bytes.size, bytes.progress); };
    auto weights = copy();
    if (!weights && weights.error().code == ErrorCode::out_of_memory) {
      drop_caches_impl();
      weights = copy();
    }
    if (!weights) return std::unexpected(std::move(weights).error());
    count_copied(bytes.size);
    return Imported{*weights, Sharing::copied};
  }

  void release_impl(ggml_backend_buffer_t buffer) noexcept override {
    cudaSetDevice(number_);
    ggml_backend_buffer_free(buffer);
  }

  /// Where the host's memory is the device's, the system gives up its caches for it.
  std::optional<std::uint64_t> free_memory_impl() override {
    const bool card = info().capabilities.import_sharing == Sharing::mapped_over_bus;
    return card && choose() ? free_bytes() : std::nullopt;
  }

  void drop_caches_impl() noexcept override {
    if (mirrors_ == nullptr) return;
    mirrors_->drop();
    mirror_memory_->trim();
  }

  Result<void> compute_impl(ggml_cgraph* graph, const std::atomic<bool>*) override {
    DW_TRY(choose_sound());
    // A graph that comes a second time as it was is recorded by ggml, to be replayed. Where several threads compute,
    // its products fail then, and end the process (docs/gpu.md). With another name in it, a graph is another one.
    ggml_format_name(ggml_graph_node(graph, 0), "pass %llu", ++n_passes_);
    DW_TRY(result_of(ggml_backend_graph_compute(backend_.get(), graph)));
    return check(cudaPeekAtLastError(), "a computation");
  }

  Result<void> write_impl(ggml_tensor* tensor, std::span<const std::byte> bytes) override {
    DW_TRY(choose_sound());
    ggml_backend_tensor_set(tensor, bytes.data(), 0, bytes.size());
    return {};
  }
  Result<void> read_impl(const ggml_tensor* tensor, std::span<std::byte> bytes) override {
    DW_TRY(choose_sound());
    ggml_backend_tensor_get(tensor, bytes.data(), 0, bytes.size());
    return {};
  }

  bool supports_impl(const ggml_tensor* op) override { return ggml_backend_dev_supports_op(device_, op); }
  ggml_backend_buffer_type_t scratch_type_impl() override { return buffer_type(); }
  MirrorCache* mirrors_impl() noexcept override { return mirrors_.get(); }

  Result<std::unique_ptr<Decoder>> make_decoder_impl(const DecoderModel& model) override {
    DW_TRY(choose());
    return cuda::make_decoder(number_, model, unclaimed_bytes() / 2);
  }

  /// What is free and is not meant for mirrors.
  std::size_t unclaimed_bytes() const {
    const std::size_t free = free_bytes().value_or(0);
    if (mirrors_ == nullptr) return free;
    const MirrorUse use = mirrors_->use();
    const std::size_t held = use.chunks * use.chunk_size;
    const std::size_t claimed = mirror_budget_ > held ? mirror_budget_ - held : 0;
    return free > claimed ? free - claimed : 0;
  }

  int number_;
  ggml_backend_dev_t device_;
  Handle<ggml_backend, ggml_backend_free> backend_;
  HostPages pages_;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<MirrorCache> mirrors_;       ///< null: KV rows are read where they lie
  CudaMirrorMemory* mirror_memory_ = nullptr;  ///< of mirrors_
  std::size_t mirror_budget_ = 0;              ///< bytes
  unsigned long long n_passes_ = 0;            ///< that ggml computed
};

}  // namespace

Result<DeviceInfo> describe(int number) {
  cudaDeviceProp properties{};
  DW_TRY(check(cudaGetDeviceProperties(&properties, number), "asking what the device is"));
  // One memory for both: an integrated GPU, or a card whose link is coherent (its accesses need no registering).
  const bool shares =
      properties.integrated != 0 || (properties.pageableMemoryAccess != 0 && properties.hostNativeAtomicSupported != 0);
  int runtime = 0;
  cudaRuntimeGetVersion(&runtime);
  return DeviceInfo{.name = fmt::format("cuda:{}", number),
                    .description = properties.name,
                    .memory_total = properties.totalGlobalMem,
                    .capabilities = {.host_addresses = true,
                                     .import_sharing = shares ? Sharing::same_memory : Sharing::mapped_over_bus,
                                     .weights_sharing = Sharing::copied,
                                     .import_alignment = kImportAlignment,
                                     .tensor_alignment = kTensorAlignment,
                                     .prompt_chunk = 2048,
                                     .bf16_products_from = properties.major >= 9 ? 256U : 0U},
                    .numerics = {.device = fmt::format("cuda: {}", properties.name),
                                 .kernels = fmt::format("ggml {}, driftwood 1, cuda {}.{}", ggml_version(),
                                                        runtime / 1000, runtime % 1000 / 10),
                                 .features = {fmt::format("sm_{}{}", properties.major, properties.minor)}}};
}

Result<std::unique_ptr<Device>> create_device(int number, DeviceInfo info, ggml_backend_dev_t backend,
                                              const DeviceOptions& options) {
  DW_TRY(check(cudaSetDevice(number), "choosing the device"));
  // The driver's own calls need the context that this makes.
  DW_TRY(check(cudaFree(nullptr), "setting up the device"));
  ggml_backend_t made = ggml_backend_dev_init(backend, nullptr);
  if (made == nullptr) {
    return fail(ErrorCode::unavailable, fmt::format("The device ({}) cannot be set up.", info.name));
  }
  const bool card = info.capabilities.import_sharing == Sharing::mapped_over_bus;
  auto device = std::make_unique<CudaDevice>(number, std::move(info), backend, made);
  const std::size_t free = free_bytes().value_or(0);
  const std::size_t beside_weights = free - std::min<std::uint64_t>(options.weights_bytes, free);
  const std::size_t budget = options.mirror_budget.value_or(card ? beside_weights / 2 : 0);
  if (budget != 0) {
    if (auto added = device->add_mirrors(budget); !added) {
      log(LogLevel::warning,
          fmt::format("KV rows are read over the bus, which is slow. {}", added.error().to_string()));
    }
  }
  return device;
}

}  // namespace driftwood::cuda
