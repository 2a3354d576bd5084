// The answer that libllama gives by itself: an independent reference for whole conversations.
#pragma once

#include <filesystem>
#include <string>

namespace driftwood::testing {

/// The greedy answer of at most `max_tokens` tokens to one user message, in the model's own chat format.
/// Throws std::runtime_error.
std::string llama_greedy_answer(const std::filesystem::path& model, const std::string& prompt, int max_tokens);

}  // namespace driftwood::testing
