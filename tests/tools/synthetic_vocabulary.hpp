// A small byte-level BPE vocabulary for random models.
#pragma once

#include <cstdint>

#include "tools/gguf_writer.hpp"

namespace driftwood::testing {

inline constexpr std::uint32_t kMinVocabulary = 320;

/// Adds the tokenizer's metadata with `n_vocab` tokens: 256 bytes, a few merges, the tokens of ChatML, filler.
void add_synthetic_vocabulary(GgufWriter& writer, std::uint32_t n_vocab);

}  // namespace driftwood::testing
