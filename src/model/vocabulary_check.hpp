// Holds a file's vocabulary against what libllama takes for granted.
#pragma once

#include <cstddef>
#include <vector>

#include "core/error.hpp"
#include "model/gguf.hpp"

namespace driftwood {

/// A GGUF file in memory that holds the tokenizer's metadata and nothing else: what libllama gets to see.
/// corrupt: entries that libllama would abort over or loop on; unsupported: a kind of tokenizer that no family uses.
Result<std::vector<std::byte>> checked_vocabulary(const Gguf& gguf);

}  // namespace driftwood
