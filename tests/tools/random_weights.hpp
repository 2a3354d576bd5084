// Random tensor data, the same for the same seed whatever the number of threads.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace driftwood::testing {

/// Fills `data`, rows of `columns` elements of `type`, with values evenly spread around `mean`.
/// `deviation` is their standard deviation. Quantized types are quantized from such values.
void fill_random(std::span<std::byte> data, ggml_type type, std::int64_t columns, float mean, float deviation,
                 std::uint64_t seed);

}  // namespace driftwood::testing
