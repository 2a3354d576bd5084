// A model that the guest was granted: its facts, tokenizer and chat format.
//
// A Model is a name with a handle, cheap to copy; the weights are the host's. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "driftwood.h"
#include "driftwood/result.hpp"

namespace driftwood::guest {

using Token = std::int32_t;

struct ChatMessage {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

class Model {
 public:
  /// not_found: no model was granted under this name.
  static Result<Model> open(std::string_view name);

  std::int32_t handle() const noexcept { return handle_; }
  const std::string& name() const noexcept { return name_; }
  /// Sizes, special tokens, architecture, hash.
  const dw_model_info& info() const noexcept { return info_; }
  std::uint32_t n_vocab() const noexcept { return info_.n_vocab; }
  /// The hash of the model's file, as 64 hexadecimal digits.
  std::string hash() const;

  /// `flags`: DW_TOKENIZE_*.
  Result<std::vector<Token>> tokenize(std::string_view text, std::uint32_t flags) const;
  /// The bytes of tokens, which may end inside a character. `flags`: DW_DETOKENIZE_*.
  Result<std::string> detokenize(std::span<const Token> tokens, std::uint32_t flags = 0) const;
  /// The bytes of one token into `piece`, whose memory is used again.
  Result<void> piece(Token token, std::string& piece) const;
  /// True for a token that ends a generation.
  bool is_end(Token token) const noexcept { return dw_model_is_end(handle_, token) == 1; }
  /// The messages in the model's own format, up to where the assistant speaks next if `add_assistant`.
  Result<std::string> chat_template(std::span<const ChatMessage> messages, bool add_assistant) const;

 private:
  std::string name_;
  std::int32_t handle_ = 0;
  dw_model_info info_{};
};

}  // namespace driftwood::guest
