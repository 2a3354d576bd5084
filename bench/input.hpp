// What the benchmarks of a model run on: its file, and a text in its tokens. One thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "model/tokenizer.hpp"

namespace driftwood::bench {

/// The file of the model that `given` names; where it is empty, of $DRIFTWOOD_TEST_MODEL, else of the default model.
Result<std::filesystem::path> find_model(const std::string& given);
/// `count` tokens of an English text.
Result<std::vector<Token>> text_tokens(const std::filesystem::path& model, std::size_t count);

}  // namespace driftwood::bench
