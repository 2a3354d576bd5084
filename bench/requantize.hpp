// A model's weights in another type, as a peer's own quantizer makes them. One thread.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

#include "core/error.hpp"

namespace driftwood::bench {

/// Names that requantize() takes, as GGUF files are called: "q4_0", "q8_0", "q4_k_m".
std::span<const std::string_view> requantized_types();

/// Writes `model` anew with libllama's quantizer into `folder`: the file. A matrix whose rows do not fit the type's
/// blocks gets the one that libllama falls back to. Quantizing what is quantized costs accuracy, not speed.
/// invalid_argument: an unknown type; unavailable: it could not be written.
Result<std::filesystem::path> requantize(const std::filesystem::path& model, std::string_view type,
                                         const std::filesystem::path& folder);

}  // namespace driftwood::bench
