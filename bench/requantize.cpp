#include "requantize.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <llama.h>

#include <algorithm>
#include <array>
#include <string>

namespace driftwood::bench {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"q4_0", "q8_0", "q4_k_m"};
constexpr std::array<llama_ftype, 3> kTypes = {LLAMA_FTYPE_MOSTLY_Q4_0, LLAMA_FTYPE_MOSTLY_Q8_0,
                                               LLAMA_FTYPE_MOSTLY_Q4_K_M};

}  // namespace

std::span<const std::string_view> requantized_types() { return kNames; }

Result<std::filesystem::path> requantize(const std::filesystem::path& model, std::string_view type,
                                         const std::filesystem::path& folder) {
  const auto place = std::ranges::find(kNames, type) - kNames.begin();
  if (place == std::ssize(kNames)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The type \"{}\" is none of {}.", type, fmt::join(kNames, ", ")));
  }
  const std::filesystem::path path = folder / fmt::format("{}.{}.gguf", model.stem().string(), type);
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_model_quantize_params options = llama_model_quantize_default_params();
  options.ftype = kTypes[static_cast<std::size_t>(place)];
  options.allow_requantize = true;
  if (llama_model_quantize(model.c_str(), path.c_str(), &options) != 0) {
    return fail(ErrorCode::unavailable,
                fmt::format("libllama could not write \"{}\" as {} to \"{}\".", model.string(), type, path.string()));
  }
  return path;
}

}  // namespace driftwood::bench
