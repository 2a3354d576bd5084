#include "driftwood/model.hpp"

#include "driftwood/host.hpp"

namespace driftwood::guest {
namespace {

std::uint32_t length_of(std::string_view text) { return static_cast<std::uint32_t>(text.size()); }

/// Calls fill(data, capacity), which returns how many elements there are in all, until they fit into `buffer`.
template <typename Buffer, typename Fill>
Result<void> fill_growing(Buffer& buffer, std::size_t guess, Fill&& fill) {
  buffer.resize(guess);
  while (true) {
    DW_TRY_ASSIGN(const std::int32_t count, check(fill(buffer.data(), static_cast<std::uint32_t>(buffer.size()))));
    const bool fits = static_cast<std::size_t>(count) <= buffer.size();
    buffer.resize(static_cast<std::size_t>(count));
    if (fits) return {};
  }
}

}  // namespace

Result<Model> Model::open(std::string_view name) {
  Model model;
  model.name_ = name;
  DW_TRY(check(dw_model_open(name.data(), length_of(name), &model.handle_)));
  model.info_.size = sizeof model.info_;
  DW_TRY(check(dw_model_get_info(model.handle_, &model.info_)));
  model.info_.architecture[sizeof model.info_.architecture - 1] = '\0';
  return model;
}

std::string Model::hash() const {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : info_.hash) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Result<std::vector<Token>> Model::tokenize(std::string_view text, std::uint32_t flags) const {
  std::vector<Token> tokens;
  // A token stands for one byte at least, but for those that the host adds.
  DW_TRY(fill_growing(tokens, text.size() + 4, [&](Token* data, std::uint32_t capacity) {
    return dw_model_tokenize(handle_, text.data(), length_of(text), flags, data, capacity);
  }));
  return tokens;
}

Result<std::string> Model::detokenize(std::span<const Token> tokens, std::uint32_t flags) const {
  std::string text;
  const auto count = static_cast<std::uint32_t>(tokens.size());
  DW_TRY(fill_growing(text, tokens.size() * 8, [&](char* data, std::uint32_t capacity) {
    return dw_model_detokenize(handle_, tokens.data(), count, flags, data, capacity);
  }));
  return text;
}

Result<void> Model::piece(Token token, std::string& piece) const {
  constexpr std::size_t kUsual = 32;
  return fill_growing(piece, kUsual, [&](char* data, std::uint32_t capacity) {
    return dw_model_detokenize(handle_, &token, 1, 0, data, capacity);
  });
}

Result<std::string> Model::chat_template(std::span<const ChatMessage> messages, bool add_assistant) const {
  std::vector<dw_chat_message> raw;
  std::size_t guess = 256;
  for (const ChatMessage& message : messages) {
    raw.push_back({message.role.data(), length_of(message.role), message.content.data(), length_of(message.content)});
    guess += message.role.size() + message.content.size() + 32;
  }
  std::string text;
  DW_TRY(fill_growing(text, guess, [&](char* data, std::uint32_t capacity) {
    return dw_model_chat_template(handle_, raw.data(), static_cast<std::uint32_t>(raw.size()), add_assistant ? 1 : 0,
                                  data, capacity);
  }));
  return text;
}

}  // namespace driftwood::guest
