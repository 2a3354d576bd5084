// A small byte-level BPE vocabulary for random models.
#pragma once

#include <cstdint>
#include <string_view>

#include "tools/gguf_writer.hpp"

namespace driftwood::testing {

inline constexpr std::uint32_t kMinVocabulary = 320;

/// Adds the tokenizer's metadata with `n_vocab` tokens: 256 bytes, a few merges, the tokens of ChatML, filler.
/// `pre_tokenizer` is one of libllama's names for the way that text is cut into words.
void add_synthetic_vocabulary(GgufWriter& writer, std::uint32_t n_vocab, std::string_view pre_tokenizer = "gpt-2");

}  // namespace driftwood::testing
