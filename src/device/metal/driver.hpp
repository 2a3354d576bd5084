// Metal: the GPU of an Apple machine, which shares the host's memory, through ggml's kernels for it.
#pragma once

#include "device/driver.hpp"

namespace driftwood {

/// What its user should know, in a build without it too.
inline constexpr std::string_view kMetalUntried =
    "Nobody has run Metal yet: there was no Mac. On one, run \"DRIFTWOOD_DEVICES=metal scripts/test.sh --label device\" "
    "and \"driftwood doctor --device metal\", and tell what they say.";

DeviceDriver metal_driver();

}  // namespace driftwood
