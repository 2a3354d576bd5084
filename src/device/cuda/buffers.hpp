// ggml buffers over memory that ggml's CUDA back end did not allocate.
//
// They are of its own buffer type, which is all that its kernels look at; what ggml does
// with the buffers themselves (placing tensors, copies) is ours. Freed with
// ggml_backend_buffer_free.
#pragma once

#include <ggml-backend.h>

#include <cstddef>
#include <functional>

#include "core/error.hpp"
#include "device/cuda/host_pages.hpp"

namespace driftwood::cuda {

/// Over host memory, whose address is the device's too. The pages under a tensor are registered when it is placed,
/// which fails where CUDA refuses them, and stay so as long as the buffer lives. `pages` must outlive it.
ggml_backend_buffer_t make_host_buffer(ggml_backend_buffer_type_t type, HostPages& pages, std::byte* data,
                                       std::size_t size);

/// Over the device's memory at `data`, which it does not own.
ggml_backend_buffer_t make_device_buffer(ggml_backend_buffer_type_t type, std::byte* data, std::size_t size);

/// In the device's memory: a copy of a file of weights, tensors at their places in it. Rows that ggml's kernels read in
/// larger pieces than they have get a place of their own with zeros behind. `progress`, where it is not null, gets the
/// fraction copied. out_of_memory.
Result<ggml_backend_buffer_t> make_weights_buffer(ggml_backend_buffer_type_t type, const std::byte* data,
                                                  std::size_t size, const std::function<void(double)>* progress);

}  // namespace driftwood::cuda
