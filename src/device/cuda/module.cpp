#include "device/cuda/module.hpp"

#include "device/ggml_module.hpp"

namespace driftwood::cuda {

Result<ggml_backend_dev_t> backend_device(int number) {
  static const auto registry = load_ggml_module("CUDA", "driftwood-cuda.so", DRIFTWOOD_CUDA_MODULE);
  if (!registry) return std::unexpected(registry.error());
  return device_of_module("CUDA", *registry, static_cast<std::size_t>(number));
}

}  // namespace driftwood::cuda
