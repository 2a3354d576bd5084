// Text to tokens and back, and a model's chat format, through libllama's vocabulary.
//
// Immutable after loading; every function may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace driftwood {

class Gguf;

using Token = std::int32_t;

struct ChatMessage {
  std::string_view role;
  std::string_view content;
};

class Tokenizer {
 public:
  /// Reads the vocabulary alone; no weights. not_found; corrupt or unsupported with the reason.
  static Result<std::unique_ptr<Tokenizer>> load(const std::filesystem::path& gguf);
  /// The same from a file that is open already; nothing of it is needed afterwards.
  static Result<std::unique_ptr<Tokenizer>> load(const Gguf& gguf);
  ~Tokenizer();

  std::uint32_t n_vocab() const noexcept;
  /// -1 where the model has none.
  Token bos() const noexcept;
  Token eos() const noexcept;
  Token eot() const noexcept;
  bool adds_bos() const noexcept;
  bool is_end(Token token) const noexcept;  ///< EOS, EOT and the like; false for tokens outside the vocabulary

  /// `add_special` adds BOS and EOS where the model wants them; `parse_special` turns the spelling of special
  /// tokens ("<|im_end|>") into them: leave it off for text that is not to be trusted.
  /// invalid_argument: text longer than kMaxTextBytes, or with 65,536 characters in a row that are all white space
  /// or all something else.
  Result<std::vector<Token>> tokenize(std::string_view text, bool add_special, bool parse_special) const;
  /// The tokens' pieces joined. The bytes may end inside a UTF-8 character. `spell_special` writes special tokens out
  /// instead of leaving them out. invalid_argument: a token outside the vocabulary.
  Result<std::string> detokenize(std::span<const Token> tokens, bool spell_special) const;
  /// The messages in the model's own format (ChatML where the file has no known template), with the opening of the
  /// assistant's answer if `add_assistant`. invalid_argument: a zero byte in a message.
  Result<std::string> apply_chat_template(std::span<const ChatMessage> messages, bool add_assistant) const;

  static constexpr std::size_t kMaxTextBytes = std::size_t{16} << 20;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood
