#include "model/vocabulary_check.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>

namespace driftwood {
namespace {

constexpr std::uint64_t kMaxTokens = 1U << 24;
constexpr std::size_t kMaxTokenBytes = 65536;

/// A string as libllama reads it, which stops at a zero byte.
std::string_view up_to_zero(std::string_view text) { return text.substr(0, text.find('\0')); }

/// libllama's map from text to token must have one entry for each token, or it aborts.
Result<void> check_tokens(const GgufValue& tokens) {
  if (!tokens.is_array || tokens.type != GgufType::string || tokens.count == 0 || tokens.count > kMaxTokens) {
    return fail(ErrorCode::corrupt,
                fmt::format("tokenizer.ggml.tokens is not an array of 1 to {} strings.", kMaxTokens));
  }
  std::unordered_set<std::string> renamed;
  std::unordered_set<std::string_view> seen;
  seen.reserve(tokens.count);
  std::uint64_t index = 0;
  for (const std::string_view token : tokens.strings()) {
    std::string_view text = up_to_zero(token);
    if (text.empty()) text = *renamed.insert(fmt::format("[EMPTY_{}]", index)).first;
    if (text.size() > kMaxTokenBytes) {
      return fail(ErrorCode::corrupt,
                  fmt::format("Token {} of the vocabulary is longer than {} bytes.", index, kMaxTokenBytes));
    }
    if (!seen.insert(text).second) {
      return fail(ErrorCode::corrupt, fmt::format("Token {} of the vocabulary appears twice.", index));
    }
    ++index;
  }
  return {};
}

/// NaN would make the order in which libllama merges depend on chance.
Result<void> check_scores(const GgufValue& scores) {
  if (!scores.is_array || scores.type != GgufType::f32) return {};
  for (std::uint64_t i = 0; i < scores.count; ++i) {
    float score = 0.0F;
    std::memcpy(&score, scores.data.data() + i * sizeof(float), sizeof(float));
    if (std::isnan(score)) {
      return fail(ErrorCode::corrupt, fmt::format("The score of token {} of the vocabulary is not a number.", i));
    }
  }
  return {};
}

Result<void> check_model(const Gguf& gguf) {
  const GgufValue* value = gguf.find("tokenizer.ggml.model");
  const auto model = value == nullptr ? std::nullopt : value->as_string();
  if (!model) return fail(ErrorCode::corrupt, "The metadata key tokenizer.ggml.model is missing or no string.");
  if (*model != "gpt2" && *model != "llama") {
    return fail(ErrorCode::unsupported, fmt::format("The tokenizer ({}) is not gpt2 (byte-level BPE) or llama "
                                                    "(SentencePiece).",
                                                    model->substr(0, 64)));
  }
  return {};
}

template <typename T>
void append(std::vector<std::byte>& out, T number) {
  const auto bytes = std::as_bytes(std::span(&number, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

}  // namespace

Result<std::vector<std::byte>> checked_vocabulary(const Gguf& gguf) {
  DW_TRY(check_model(gguf));
  const GgufValue* tokens = gguf.find("tokenizer.ggml.tokens");
  if (tokens == nullptr) return fail(ErrorCode::corrupt, "The metadata key tokenizer.ggml.tokens is missing.");
  DW_TRY(check_tokens(*tokens));
  if (const GgufValue* scores = gguf.find("tokenizer.ggml.scores")) DW_TRY(check_scores(*scores));

  std::vector<const GgufValue*> kept;
  std::size_t size = 0;
  for (const GgufValue& value : gguf.values()) {
    // The name picks the handling of spaces around special tokens (Phi 3).
    if (value.key.starts_with("tokenizer.") || value.key == "general.architecture" || value.key == "general.name") {
      kept.push_back(&value);
      size += value.record.size();
    }
  }
  std::vector<std::byte> file;
  file.reserve(size + 32);
  for (const char c : {'G', 'G', 'U', 'F'}) file.push_back(static_cast<std::byte>(c));
  append(file, gguf.version());
  append(file, std::uint64_t{0});
  append(file, std::uint64_t{kept.size()});
  for (const GgufValue* value : kept) file.insert(file.end(), value->record.begin(), value->record.end());
  return file;
}

}  // namespace driftwood
