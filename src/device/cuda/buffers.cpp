#include "device/cuda/buffers.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "core/bytes.hpp"
#include "core/log.hpp"
#include "device/cuda/status.hpp"
#include "device/upload.hpp"
#include "ggml-backend-impl.h"  // of ggml's sources: how a buffer is made

namespace driftwood::cuda {
namespace {

/// What a buffer of ours is made of.
class Buffer {
 public:
  Buffer(ggml_backend_buffer_type_t type, std::byte* data) : type_(type), data_(data) {}
  virtual ~Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* data() const noexcept { return data_; }
  ggml_backend_buffer_type_t type() const noexcept { return type_; }
  /// A tensor has its place now.
  virtual Result<void> place(ggml_tensor& tensor) = 0;

 private:
  ggml_backend_buffer_type_t type_;
  std::byte* data_;
};

class HostBuffer final : public Buffer {
 public:
  HostBuffer(ggml_backend_buffer_type_t type, HostPages& pages, std::byte* data) : Buffer(type, data), pages_(&pages) {}

  Result<void> place(ggml_tensor& tensor) override {
    const auto* const at = static_cast<const std::byte*>(tensor.data);
    const std::size_t size = ggml_nbytes(&tensor);
    const bool held =
        std::ranges::any_of(held_, [&](const Held& h) { return h.at <= at && at + size <= h.at + h.size; });
    if (held) return {};
    DW_TRY_ASSIGN(auto hold, pages_->hold(at, size, false));
    held_.push_back({at, size, std::move(hold)});
    return {};
  }

 private:
  struct Held {
    const std::byte* at;
    std::size_t size;
    HostPages::Hold hold;
  };
  HostPages* pages_;
  std::vector<Held> held_;
};

class DeviceBuffer final : public Buffer {
 public:
  using Buffer::Buffer;
  Result<void> place(ggml_tensor&) override { return {}; }
};

class WeightsBuffer final : public Buffer {
 public:
  WeightsBuffer(ggml_backend_buffer_type_t type, std::byte* data) : Buffer(type, data) { owned_.push_back(data); }
  ~WeightsBuffer() override {
    for (std::byte* block : owned_) cudaFree(block);
  }

  Result<void> place(ggml_tensor& tensor) override {
    const std::size_t size = ggml_nbytes(&tensor);
    const std::size_t padded = ggml_backend_buft_get_alloc_size(type(), &tensor);
    if (padded == size) return {};
    void* own = nullptr;
    DW_TRY(check(cudaMalloc(&own, padded), "making room for weights"));
    owned_.push_back(static_cast<std::byte*>(own));
    DW_TRY(check(cudaMemset(owned_.back() + size, 0, padded - size), "clearing behind weights"));
    DW_TRY(check(cudaMemcpy(own, tensor.data, size, cudaMemcpyDeviceToDevice), "moving weights"));
    tensor.data = own;
    return {};
  }

 private:
  std::vector<std::byte*> owned_;
};

Buffer& of(ggml_backend_buffer_t buffer) { return *static_cast<Buffer*>(buffer->context); }

/// ggml's interface has no way to report a failed copy: it is logged, and the device's next call fails as well.
void note(Result<void> done) {
  if (!done) log(LogLevel::error, done.error().to_string());
}

void copy(void* to, const void* from, std::size_t size) {
  note(check(cudaMemcpyAsync(to, from, size, cudaMemcpyDefault, cudaStreamPerThread), "copying a tensor"));
  note(check(cudaStreamSynchronize(cudaStreamPerThread), "copying a tensor"));
}

constexpr ggml_backend_buffer_i kInterface = {
    .free_buffer = [](ggml_backend_buffer_t buffer) { delete &of(buffer); },
    .get_base = [](ggml_backend_buffer_t buffer) -> void* { return of(buffer).data(); },
    .init_tensor =
        [](ggml_backend_buffer_t buffer, ggml_tensor* tensor) {
          if (tensor->view_src != nullptr) return GGML_STATUS_SUCCESS;
          const auto placed = of(buffer).place(*tensor);
          if (!placed) log(LogLevel::warning, placed.error().to_string());
          return placed ? GGML_STATUS_SUCCESS : GGML_STATUS_ALLOC_FAILED;
        },
    .memset_tensor =
        [](ggml_backend_buffer_t, ggml_tensor* tensor, std::uint8_t value, std::size_t offset, std::size_t size) {
          note(check(cudaMemset(static_cast<std::byte*>(tensor->data) + offset, value, size), "filling a tensor"));
        },
    .set_tensor = [](ggml_backend_buffer_t, ggml_tensor* tensor, const void* data, std::size_t offset,
                     std::size_t size) { copy(static_cast<std::byte*>(tensor->data) + offset, data, size); },
    .get_tensor = [](ggml_backend_buffer_t, const ggml_tensor* tensor, void* data, std::size_t offset,
                     std::size_t size) { copy(data, static_cast<const std::byte*>(tensor->data) + offset, size); },
    .set_tensor_2d = nullptr,
    .get_tensor_2d = nullptr,
    .cpy_tensor = nullptr,
    .clear = [](ggml_backend_buffer_t, std::uint8_t) {},
    .reset = nullptr,
};

ggml_backend_buffer_t wrap(std::unique_ptr<Buffer> buffer, std::size_t size) {
  ggml_backend_buffer_type_t const type = buffer->type();
  return ggml_backend_buffer_init(type, kInterface, buffer.release(), size);
}

}  // namespace

ggml_backend_buffer_t make_host_buffer(ggml_backend_buffer_type_t type, HostPages& pages, std::byte* data,
                                       std::size_t size) {
  return wrap(std::make_unique<HostBuffer>(type, pages, data), size);
}

ggml_backend_buffer_t make_device_buffer(ggml_backend_buffer_type_t type, std::byte* data, std::size_t size) {
  return wrap(std::make_unique<DeviceBuffer>(type, data), size);
}

Result<ggml_backend_buffer_t> make_weights_buffer(ggml_backend_buffer_type_t type, const std::byte* data,
                                                  std::size_t size, const std::function<void(double)>* progress) {
  // ggml checks that a tensor fits with what its kernels read behind it, before it asks where to put it.
  constexpr std::size_t kBehind = 64 * kKiB;
  void* at = nullptr;
  DW_TRY(check(cudaMalloc(&at, size + kBehind), fmt::format("making room for {} bytes of weights", size)));
  auto buffer = std::make_unique<WeightsBuffer>(type, static_cast<std::byte*>(at));
  DW_TRY(check(cudaMemset(static_cast<std::byte*>(at) + size, 0, kBehind), "clearing behind weights"));
  DW_TRY(upload(size, progress, [&](ByteRange piece) {
    return check(cudaMemcpy(buffer->data() + piece.offset, data + piece.offset, piece.size, cudaMemcpyHostToDevice),
                 "uploading weights");
  }));
  return wrap(std::move(buffer), size + kBehind);
}

}  // namespace driftwood::cuda
