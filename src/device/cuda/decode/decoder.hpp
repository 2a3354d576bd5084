// The fused decoder on CUDA: packed weights in the device's memory, and a step's kernels recorded once for each shape.
#pragma once

#include <memory>

#include "core/error.hpp"
#include "device/decoder.hpp"

namespace driftwood::cuda {

/// unsupported: what the kernels do not take; out_of_memory: more than `budget` bytes, or than the card has.
Result<std::unique_ptr<Decoder>> make_decoder(int device, const DecoderModel& model, std::size_t budget);

}  // namespace driftwood::cuda
