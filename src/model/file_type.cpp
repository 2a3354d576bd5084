#include "model/file_type.hpp"

#include <llama.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <string_view>
#include <utility>

namespace driftwood {
namespace {

constexpr std::pair<llama_ftype, std::string_view> kNames[] = {
    {LLAMA_FTYPE_ALL_F32, "F32"},
    {LLAMA_FTYPE_MOSTLY_F16, "F16"},
    {LLAMA_FTYPE_MOSTLY_BF16, "BF16"},
    {LLAMA_FTYPE_MOSTLY_Q4_0, "Q4_0"},
    {LLAMA_FTYPE_MOSTLY_Q4_1, "Q4_1"},
    {LLAMA_FTYPE_MOSTLY_Q5_0, "Q5_0"},
    {LLAMA_FTYPE_MOSTLY_Q5_1, "Q5_1"},
    {LLAMA_FTYPE_MOSTLY_Q8_0, "Q8_0"},
    {LLAMA_FTYPE_MOSTLY_Q2_K, "Q2_K"},
    {LLAMA_FTYPE_MOSTLY_Q2_K_S, "Q2_K_S"},
    {LLAMA_FTYPE_MOSTLY_Q3_K_S, "Q3_K_S"},
    {LLAMA_FTYPE_MOSTLY_Q3_K_M, "Q3_K_M"},
    {LLAMA_FTYPE_MOSTLY_Q3_K_L, "Q3_K_L"},
    {LLAMA_FTYPE_MOSTLY_Q4_K_S, "Q4_K_S"},
    {LLAMA_FTYPE_MOSTLY_Q4_K_M, "Q4_K_M"},
    {LLAMA_FTYPE_MOSTLY_Q5_K_S, "Q5_K_S"},
    {LLAMA_FTYPE_MOSTLY_Q5_K_M, "Q5_K_M"},
    {LLAMA_FTYPE_MOSTLY_Q6_K, "Q6_K"},
    {LLAMA_FTYPE_MOSTLY_IQ1_S, "IQ1_S"},
    {LLAMA_FTYPE_MOSTLY_IQ1_M, "IQ1_M"},
    {LLAMA_FTYPE_MOSTLY_IQ2_XXS, "IQ2_XXS"},
    {LLAMA_FTYPE_MOSTLY_IQ2_XS, "IQ2_XS"},
    {LLAMA_FTYPE_MOSTLY_IQ2_S, "IQ2_S"},
    {LLAMA_FTYPE_MOSTLY_IQ2_M, "IQ2_M"},
    {LLAMA_FTYPE_MOSTLY_IQ3_XXS, "IQ3_XXS"},
    {LLAMA_FTYPE_MOSTLY_IQ3_XS, "IQ3_XS"},
    {LLAMA_FTYPE_MOSTLY_IQ3_S, "IQ3_S"},
    {LLAMA_FTYPE_MOSTLY_IQ3_M, "IQ3_M"},
    {LLAMA_FTYPE_MOSTLY_IQ4_NL, "IQ4_NL"},
    {LLAMA_FTYPE_MOSTLY_IQ4_XS, "IQ4_XS"},
    {LLAMA_FTYPE_MOSTLY_TQ1_0, "TQ1_0"},
    {LLAMA_FTYPE_MOSTLY_TQ2_0, "TQ2_0"},
};

std::string most_common_type(const Gguf& gguf) {
  std::map<ggml_type, std::uint64_t> bytes;
  for (const GgufTensor& tensor : gguf.tensors()) bytes[tensor.type] += tensor.size;
  if (bytes.empty()) return "unknown";
  const auto largest = std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  std::string name = ggml_type_name(largest->first);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

}  // namespace

std::string file_type_name(const Gguf& gguf) {
  if (const GgufValue* value = gguf.find("general.file_type")) {
    if (const auto number = value->as_unsigned()) {
      for (const auto& [type, name] : kNames) {
        if (*number == static_cast<std::uint64_t>(type)) return std::string(name);
      }
    }
  }
  return most_common_type(gguf);
}

}  // namespace driftwood
