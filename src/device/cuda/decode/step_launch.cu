#include "device/cuda/decode/step_launch.hpp"

#include <cuda_runtime.h>

#include "device/cuda/decode/step.cuh"

namespace driftwood::cuda {
namespace {

class StreamLaunch {
 public:
  StreamLaunch(cudaStream_t stream, bool overlap) : stream_(stream), overlap_(overlap) {}

  template <typename... Parameters, typename... Arguments>
  void operator()(void (*kernel)(Parameters...), dim3 grid, int threads, const Arguments&... arguments) {
    if (status_ != cudaSuccess) return;
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = dim3(threads);
    config.stream = stream_;
    config.attrs = &attribute;
    config.numAttrs = overlap_ && !first_ ? 1 : 0;
    first_ = false;
    status_ = cudaLaunchKernelEx(&config, kernel, arguments...);
  }
  cudaError_t status() const { return status_; }

 private:
  cudaStream_t stream_;
  bool overlap_;
  bool first_ = true;
  cudaError_t status_ = cudaSuccess;
};

}  // namespace

cudaError_t launch_step(cudaStream_t stream, bool overlap, const StepModel& model, const StepLayer* layers, int n_layer,
                        const StepMemory& memory, const StepShape& shape, const StepOutput& output) {
  StreamLaunch launch(stream, overlap);
  Step<StreamLaunch> step(launch, model, memory, shape);
  step.run(layers, n_layer, output);
  return launch.status();
}

}  // namespace driftwood::cuda
