// What the benchmarks of a model run on: its file, its packed weights, and a text in its tokens. One thread.
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
/// Where the driftwood program and embedders share packed weights by default (ForwardOptions::packed_cache), so that
/// what is measured is mapped from a file as theirs is. Empty: there is no such folder, and each process packs its own.
std::filesystem::path packed_weights_folder();
/// `count` tokens of an English text.
Result<std::vector<Token>> text_tokens(const std::filesystem::path& model, std::size_t count);

}  // namespace driftwood::bench
