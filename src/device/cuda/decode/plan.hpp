// A model's weights and numbers as the kernels of a step take them.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "device/cuda/decode/step_data.hpp"
#include "device/decoder.hpp"

namespace driftwood::cuda {

/// Copies bytes to the device's memory and gives their address there, a multiple of 256.
using PlaceBytes = std::function<Result<const std::uint8_t*>(std::span<const std::uint8_t>)>;

struct StepPlan {
  StepModel model;
  std::vector<StepLayer> layers;
};

/// unsupported: what the kernels do not take, by name.
Result<void> check_decodable(const DecoderModel& model);
/// Bytes that make_plan() places.
std::size_t plan_bytes(const DecoderModel& model);
/// Packs the weights of a model that passed its check. Fails as `place` does.
Result<StepPlan> make_plan(const DecoderModel& model, const PlaceBytes& place);

}  // namespace driftwood::cuda
