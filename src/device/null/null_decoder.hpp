// A decoder for tests. It knows no model: the record that it appends, and the logits, follow from the token and from
// every byte of the records before it, so that a wrong byte anywhere changes all words from there on.
#pragma once

#include <memory>

#include "device/decoder.hpp"
#include "device/null/null_device.hpp"

namespace driftwood {

/// Over records at addresses of the host; fails as `control` is told.
Result<std::unique_ptr<Decoder>> make_null_decoder(const DecoderModel& model,
                                                   std::shared_ptr<NullDeviceControl> control);

}  // namespace driftwood
