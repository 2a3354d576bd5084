#include "tools/synthetic_vocabulary.hpp"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

namespace driftwood::testing {
namespace {

constexpr std::int32_t kNormal = 1;
constexpr std::int32_t kControl = 3;
constexpr std::int32_t kUnused = 5;

constexpr std::string_view kChatTemplate =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// How byte-level BPE spells a byte: itself where it prints, else a letter beyond Latin-1 (GPT-2's bytes_to_unicode).
std::string spelling(std::uint32_t byte) {
  const auto prints = [](std::uint32_t b) {
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
  };
  std::uint32_t code = byte;
  if (!prints(byte)) {
    code = 0x100;
    for (std::uint32_t b = 0; b < byte; ++b) code += prints(b) ? 0 : 1;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
}

}  // namespace

void add_synthetic_vocabulary(GgufWriter& writer, std::uint32_t n_vocab, std::string_view pre_tokenizer) {
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  const auto add = [&](std::string token, std::int32_t type) {
    tokens.push_back(std::move(token));
    types.push_back(type);
    return static_cast<std::uint32_t>(tokens.size() - 1);
  };
  const std::uint32_t end_of_text = add("<|endoftext|>", kControl);
  const std::uint32_t start = add("<|im_start|>", kControl);
  const std::uint32_t end = add("<|im_end|>", kControl);
  for (std::uint32_t byte = 0; byte < 256; ++byte) add(spelling(byte), kNormal);

  const std::vector<std::string> merges = {"t h", "h e", "i n", "e r", "a n", "Ġ t", "Ġ a", "th e", "Ġ the"};
  for (const std::string& merge : merges) {
    std::string token = merge;
    token.erase(token.find(' '), 1);
    add(std::move(token), kNormal);
  }
  while (tokens.size() < n_vocab) add(fmt::format("<filler_{}>", tokens.size()), kUnused);

  writer.add("tokenizer.ggml.model", "gpt2");
  writer.add("tokenizer.ggml.pre", pre_tokenizer);
  writer.add("tokenizer.ggml.tokens", tokens);
  writer.add("tokenizer.ggml.token_type", types);
  writer.add("tokenizer.ggml.merges", merges);
  writer.add("tokenizer.ggml.bos_token_id", start);
  writer.add("tokenizer.ggml.eos_token_id", end);
  writer.add("tokenizer.ggml.unknown_token_id", end_of_text);
  writer.add("tokenizer.ggml.add_bos_token", false);
  writer.add("tokenizer.chat_template", kChatTemplate);
}

}  // namespace driftwood::testing
