// A Model as a device's fused decoder takes it.
#pragma once

#include "core/error.hpp"
#include "device/decoder.hpp"
#include "model/model.hpp"

namespace driftwood {

/// unsupported: what of the family's graph no decoder computes. The weights are the Model's, borrowed.
Result<DecoderModel> make_decoder_model(const Model& model);

}  // namespace driftwood
