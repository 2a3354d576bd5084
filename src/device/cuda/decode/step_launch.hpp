// Where the kernels' compiler and the rest of the program meet.
#pragma once

#include <cuda_runtime_api.h>

#include "device/cuda/decode/step_data.hpp"

namespace driftwood::cuda {

/// Queues the kernels of a step. `overlap`: one may begin while the one before it ends (programmatic dependent launch).
cudaError_t launch_step(cudaStream_t stream, bool overlap, const StepModel& model, const StepLayer* layers, int n_layer,
                        const StepMemory& memory, const StepShape& shape, const StepOutput& output);

}  // namespace driftwood::cuda
