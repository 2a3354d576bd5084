// A Metal device: Regions' pages wrapped as they lie (newBufferWithBytesNoCopy, storage mode shared), ggml's kernels
// over them.
//
// Host and GPU have one memory, so that an import and a model's mapped file are the same memory, at the host's
// addresses. Pages have 16 KiB there; the page size is asked, as everywhere.
#pragma once

#include <ggml-backend.h>

#include <memory>

#include "device/device.hpp"

namespace driftwood::metal {

DeviceInfo describe(ggml_backend_dev_t device);

/// unavailable: Metal cannot set it up.
Result<std::unique_ptr<Device>> create_device(ggml_backend_dev_t device);

}  // namespace driftwood::metal
