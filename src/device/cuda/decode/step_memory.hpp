// How large the pieces of a step's memory are, and where they lie in one block of it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cuda/decode/step_data.hpp"

namespace driftwood::cuda {

/// Bytes of one block that holds a step's memory (all but `input`) and the scratch memory of top-k, for kMaxRows rows,
/// sequences of `max_chunks` chunks and at most `top_k` logits each.
std::size_t step_memory_bytes(const StepModel& model, int max_chunks, int top_k);
/// The pieces of a block of that size, which begins at a multiple of 256 and is all zeros. `keys`: for top-k.
StepMemory step_memory(const StepModel& model, int max_chunks, int top_k, std::uint8_t* block, TopKKey** keys);

}  // namespace driftwood::cuda
