#include "device/vulkan/vulkan_device.hpp"

#include <fmt/format.h>
#include <ggml.h>

#include <algorithm>

#include "core/handle.hpp"
#include "core/log.hpp"
#include "device/ggml_status.hpp"
#include "device/graph.hpp"
#include "device/upload.hpp"
#include "device/vulkan/failure.hpp"

namespace driftwood::vulkan {
namespace {

// Of ggml's products: how many rows of activations have kernels without tiles, and the rows of the largest tile.
constexpr std::uint64_t kRowsWithoutTiles = 8;
constexpr std::uint64_t kTileRows = 256;

class VulkanDevice final : public Device {
 public:
  VulkanDevice(DeviceInfo info, const PhysicalDevice& physical, ggml_backend_dev_t device, ggml_backend_t backend)
      : Device(std::move(info)),
        max_operand_(physical.max_operand),
        fresh_for_each_(physical.touches_unused_bindings),
        device_(device),
        backend_(backend) {}

 private:
  Result<Imported> import_impl(const HostBytes& bytes) override {
    const bool weights = bytes.read_only;
    const Sharing sharing = weights ? info().capabilities.weights_sharing : info().capabilities.import_sharing;
    if (sharing == Sharing::copied) return copy(bytes);
    auto mapped = map(bytes.data, bytes.size);
    if (mapped) return Imported{*mapped, sharing};
    if (!weights) return std::unexpected(std::move(mapped).error());
    log(LogLevel::warning,
        fmt::format("{} The weights are copied to the device ({}).", mapped.error().message, info().name));
    return copy(bytes);
  }

  std::optional<std::uint64_t> free_memory_impl() override {
    const auto asked = guarded("asking for the free memory", [&]() -> Result<std::uint64_t> {
      std::size_t free = 0;
      std::size_t total = 0;
      ggml_backend_dev_memory(device_, &free, &total);
      return free <= total ? free : 0;  // ggml subtracts what is used, which may be more than the driver grants
    });
    return asked ? std::optional(*asked) : std::nullopt;
  }

  Result<void> compute_impl(ggml_cgraph* graph, const std::atomic<bool>*) override {
    DW_TRY(check_alignment(graph));
    // ggml's descriptor sets are used again by its next graph, and go with its context.
    if (fresh_for_each_) DW_TRY(set_up_anew());
    auto computed =
        guarded("a computation", [&] { return result_of(ggml_backend_graph_compute(backend_.get(), graph)); });
    if (!computed) DW_TRY(restart(computed.error()));
    return computed;
  }

  /// A computation that was broken off leaves ggml's context in the middle of it, and the next one would end the
  /// process. A lost device's context is left as it is, since freeing it waits for the device.
  Result<void> restart(const Error& failure) {
    if (failure.code == ErrorCode::device_lost) {
      static_cast<void>(backend_.release());
      return {};
    }
    if (set_up_anew()) return {};
    return fail(ErrorCode::device_lost, fmt::format("{} The device could not be set up again.", failure.message));
  }

  Result<void> set_up_anew() {
    return guarded("setting up the device anew", [&]() -> Result<void> {
      backend_.reset();
      backend_.reset(ggml_backend_dev_init(device_, nullptr));
      if (backend_ != nullptr) return {};
      return fail(ErrorCode::device_lost, fmt::format("The device ({}) could not be set up anew.", info().name));
    });
  }

  bool supports_impl(const ggml_tensor* op) override {
    return fits_unpacked(op) && ggml_backend_dev_supports_op(device_, op);
  }
  ggml_backend_buffer_type_t scratch_type_impl() override { return ggml_backend_dev_buffer_type(device_); }

  Result<void> write_impl(ggml_tensor* tensor, std::span<const std::byte> bytes) override {
    return guarded("the input of a computation", [&]() -> Result<void> {
      ggml_backend_tensor_set(tensor, bytes.data(), 0, bytes.size());
      return {};
    });
  }
  Result<void> read_impl(const ggml_tensor* tensor, std::span<std::byte> bytes) override {
    return guarded("the output of a computation", [&]() -> Result<void> {
      ggml_backend_tensor_get(tensor, bytes.data(), 0, bytes.size());
      return {};
    });
  }

  /// Whole units of the driver's granularity; the pages of host memory are at least as large.
  Result<ggml_backend_buffer_t> map(std::byte* data, std::size_t size) {
    return guarded("an import of host memory", [&]() -> Result<ggml_backend_buffer_t> {
      const std::size_t whole = align_up(size, info().capabilities.import_alignment);
      ggml_backend_buffer_t buffer = ggml_backend_dev_buffer_from_host_ptr(device_, data, whole, size);
      if (buffer != nullptr) return buffer;
      return fail(ErrorCode::unsupported, fmt::format("The driver of the device ({}) refused to import {} bytes of "
                                                      "the host's memory.",
                                                      info().name, size));
    });
  }

  Result<Imported> copy(const HostBytes& bytes) {
    const std::size_t size = bytes.size;
    return guarded("the weights", [&]() -> Result<Imported> {
      Handle<ggml_backend_buffer, ggml_backend_buffer_free> buffer(
          ggml_backend_buft_alloc_buffer(scratch_type_impl(), size));
      if (buffer == nullptr) {
        return fail(ErrorCode::out_of_memory,
                    fmt::format("The device ({}) has no {} bytes for the weights.", info().name, size));
      }
      ggml_tensor piece{};
      piece.type = GGML_TYPE_I8;
      piece.ne[0] = static_cast<std::int64_t>(size);
      std::fill(piece.ne + 1, piece.ne + GGML_MAX_DIMS, 1);
      piece.nb[0] = 1;
      std::fill(piece.nb + 1, piece.nb + GGML_MAX_DIMS, size);
      piece.buffer = buffer.get();
      piece.data = ggml_backend_buffer_get_base(buffer.get());
      DW_TRY(upload(size, bytes.progress, [&](ByteRange part) -> Result<void> {
        ggml_backend_tensor_set(&piece, bytes.data + part.offset, part.offset, part.size);
        return {};
      }));
      count_copied(size);
      return Imported{buffer.release(), Sharing::copied};
    });
  }

  /// Products of many rows may unpack a quantized matrix into f16 first, or copy their activations, with rows filled up
  /// to a tile, and end the process where that is too large.
  bool fits_unpacked(const ggml_tensor* op) const {
    if (op->op != GGML_OP_MUL_MAT && op->op != GGML_OP_MUL_MAT_ID) return true;
    const std::uint64_t most = max_operand_ / sizeof(ggml_fp16_t);
    const auto elements = static_cast<std::uint64_t>(ggml_nelements(op->src[0]));
    if (ggml_is_quantized(op->src[0]->type) && elements > most) return false;
    const ggml_tensor* const x = op->src[1];
    const auto rows = static_cast<std::uint64_t>(x->ne[1]);
    const std::uint64_t filled = rows <= kRowsWithoutTiles ? rows : align_up(rows, kTileRows);
    return static_cast<std::uint64_t>(x->ne[0]) * filled * static_cast<std::uint64_t>(x->ne[2] * x->ne[3]) <= most;
  }

  /// The kernels end the process where an operand does not lie as they need it.
  Result<void> check_alignment(ggml_cgraph* graph) const {
    for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
      const ggml_tensor* node = ggml_graph_node(graph, i);
      if (!is_computed(node) || ggml_is_empty(node)) continue;
      DW_TRY(check_alignment(node));
      for (const ggml_tensor* source : node->src) {
        if (source != nullptr) DW_TRY(check_alignment(source));
      }
    }
    return {};
  }
  Result<void> check_alignment(const ggml_tensor* tensor) const {
    const std::size_t alignment = info().capabilities.tensor_alignment;
    if (is_aligned(reinterpret_cast<std::uintptr_t>(tensor->data), alignment)) return {};
    return fail(ErrorCode::unsupported, fmt::format("The tensor ({}) is not aligned to {} bytes, as the device ({}) "
                                                    "needs it.",
                                                    ggml_get_name(tensor), alignment, info().name));
  }

  std::uint64_t max_operand_;  ///< bytes
  bool fresh_for_each_;        ///< each graph is computed by a ggml context of its own
  ggml_backend_dev_t device_;
  Handle<ggml_backend, ggml_backend_free> backend_;
};

}  // namespace

DeviceInfo describe(const PhysicalDevice& device, std::size_t index) {
  return {.name = fmt::format("vulkan:{}", index),
          .description = device.name,
          .memory_total = device.memory_total,
          .capabilities = {.import_sharing = device.own_memory ? Sharing::mapped_over_bus : Sharing::same_memory,
                           .weights_sharing = device.own_memory ? Sharing::copied : Sharing::same_memory,
                           .import_alignment = device.import_alignment,
                           .tensor_alignment = device.tensor_alignment,
                           .max_import = device.max_buffer},
          .numerics = {.device = fmt::format("vulkan: {}", device.name),
                       .kernels = fmt::format("ggml {}, {}", ggml_version(), device.driver)}};
}

Result<std::unique_ptr<Device>> create_device(const PhysicalDevice& device, std::size_t index,
                                              ggml_backend_dev_t backend) {
  return guarded("setting up the device", [&]() -> Result<std::unique_ptr<Device>> {
    ggml_backend_t made = ggml_backend_dev_init(backend, nullptr);
    if (made == nullptr) {
      return fail(ErrorCode::unavailable, fmt::format("The device ({}) cannot be set up.", device.name));
    }
    return std::make_unique<VulkanDevice>(describe(device, index), device, backend, made);
  });
}

}  // namespace driftwood::vulkan
