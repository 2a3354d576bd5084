#include "model/tokenizer.hpp"

#include <fmt/format.h>
#include <gguf.h>
#include <llama.h>

#include <algorithm>
#include <exception>
#include <type_traits>
#include <utility>

#include "core/handle.hpp"
#include "model/gguf.hpp"
#include "model/llama_log.hpp"
#include "model/mapped_file.hpp"
#include "model/text_guard.hpp"
#include "model/vocabulary_check.hpp"

namespace driftwood {
namespace {

using LlamaModel = Handle<llama_model, llama_model_free>;
using GgufContext = Handle<gguf_context, gguf_free>;

constexpr const char* kFallbackTemplate = "chatml";

Result<LlamaModel> load_vocabulary(const Gguf& gguf) {
  DW_TRY_ASSIGN(const auto bytes, checked_vocabulary(gguf));
  const LlamaLogCapture log;
  const GgufContext metadata(gguf_init_from_buffer(bytes.data(), bytes.size(), {.no_alloc = true, .ctx = nullptr}));
  if (metadata == nullptr) return fail(ErrorCode::corrupt, fmt::format("The vocabulary is unusable: {}", log.text()));
  llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  LlamaModel model(llama_model_init_from_user(metadata.get(), nullptr, nullptr, params));
  if (model == nullptr) return fail(ErrorCode::corrupt, fmt::format("The vocabulary is unusable: {}", log.text()));
  return model;
}

/// Calls into libllama, which throws where a vocabulary lacks what it needs.
template <typename F>
auto guarded(F&& call) -> Result<std::invoke_result_t<F>> {
  try {
    return call();
  } catch (const std::exception& error) {
    return fail(ErrorCode::corrupt, fmt::format("The model's vocabulary does not allow it: {}.", error.what()));
  }
}

Result<std::vector<Token>> tokenize_with(const llama_vocab* vocab, std::string_view text, bool add_special,
                                         bool parse_special) {
  std::vector<Token> tokens(text.size() / 3 + 8);
  const auto run = [&] {
    return llama_tokenize(vocab, text.data(), static_cast<std::int32_t>(text.size()), tokens.data(),
                          static_cast<std::int32_t>(tokens.size()), add_special, parse_special);
  };
  DW_TRY_ASSIGN(std::int32_t count, guarded(run));
  if (count < 0) {
    tokens.resize(static_cast<std::size_t>(-std::int64_t{count}));
    DW_TRY_ASSIGN(count, guarded(run));
  }
  if (count < 0) return fail(ErrorCode::internal, "libllama's count of tokens changed between two calls.");
  tokens.resize(static_cast<std::size_t>(count));
  return tokens;
}

}  // namespace

struct Tokenizer::State {
  LlamaModel model;
  const llama_vocab* vocab = nullptr;
  std::uint32_t n_vocab = 0;
  std::string chat_template;  ///< the file's, or the fallback's name
};

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;

Result<std::unique_ptr<Tokenizer>> Tokenizer::load(const std::filesystem::path& path) {
  DW_TRY_ASSIGN(const auto file, MappedFile::open(path));
  DW_TRY_ASSIGN(const auto gguf, Gguf::parse(file->bytes()));
  return load(gguf);
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::load(const Gguf& gguf) {
  auto state = std::make_unique<State>();
  DW_TRY_ASSIGN(state->model, load_vocabulary(gguf));
  state->vocab = llama_model_get_vocab(state->model.get());
  state->n_vocab = static_cast<std::uint32_t>(llama_vocab_n_tokens(state->vocab));

  // libllama aborts when it is to add a token that there is not.
  if (llama_vocab_get_add_bos(state->vocab) && llama_vocab_bos(state->vocab) < 0) {
    return fail(ErrorCode::corrupt, "The vocabulary wants a BOS token added and has none.");
  }
  if (llama_vocab_get_add_eos(state->vocab) && llama_vocab_eos(state->vocab) < 0) {
    return fail(ErrorCode::corrupt, "The vocabulary wants an EOS token added and has none.");
  }

  state->chat_template = kFallbackTemplate;
  if (const char* own = llama_model_chat_template(state->model.get(), nullptr)) {
    // Only a trial tells whether libllama knows the template.
    const llama_chat_message trial{"user", "?"};
    DW_TRY_ASSIGN(const auto known,
                  guarded([&] { return llama_chat_apply_template(own, &trial, 1, true, nullptr, 0); }));
    if (known >= 0) state->chat_template = own;
  }
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(state)));
}

std::uint32_t Tokenizer::n_vocab() const noexcept { return state_->n_vocab; }
Token Tokenizer::bos() const noexcept { return llama_vocab_bos(state_->vocab); }
Token Tokenizer::eos() const noexcept { return llama_vocab_eos(state_->vocab); }
Token Tokenizer::eot() const noexcept { return llama_vocab_eot(state_->vocab); }
bool Tokenizer::adds_bos() const noexcept { return llama_vocab_get_add_bos(state_->vocab); }
bool Tokenizer::is_end(Token token) const noexcept { return llama_vocab_is_eog(state_->vocab, token); }

Result<std::vector<Token>> Tokenizer::tokenize(std::string_view text, bool add_special, bool parse_special) const {
  if (text.size() > kMaxTextBytes) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The text ({} bytes) is longer than {} bytes.", text.size(), kMaxTextBytes));
  }
  const auto run = [&](std::string_view safe) {
    return tokenize_with(state_->vocab, safe, add_special, parse_special);
  };
  if (llama_vocab_type(state_->vocab) != LLAMA_VOCAB_TYPE_BPE) return run(text);

  const auto replaced = replace_invalid_utf8(text);
  if (replaced) text = *replaced;
  const std::size_t longest = longest_run(text);
  if (longest <= kShortRun) return run(text);
  if (longest > kLongestRun) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The text has {} characters in a row without a change between white space and other "
                            "characters; at most {} are taken.",
                            longest, kLongestRun));
  }
  Result<std::vector<Token>> tokens;
  DW_TRY(with_deep_stack([&] { tokens = run(text); }));
  return tokens;
}

Result<std::string> Tokenizer::detokenize(std::span<const Token> tokens, bool spell_special) const {
  std::string text;
  for (const Token token : tokens) {
    if (token < 0 || static_cast<std::uint32_t>(token) >= state_->n_vocab) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("Token {} is outside the vocabulary (0 to {}).", token, state_->n_vocab - 1));
    }
    const std::size_t before = text.size();
    text.resize(before + 32);
    const auto run = [&] {
      return llama_token_to_piece(state_->vocab, token, text.data() + before,
                                  static_cast<std::int32_t>(text.size() - before), 0, spell_special);
    };
    DW_TRY_ASSIGN(std::int32_t count, guarded(run));
    if (count < 0) {
      text.resize(before + static_cast<std::size_t>(-std::int64_t{count}));
      DW_TRY_ASSIGN(count, guarded(run));
    }
    text.resize(before + static_cast<std::size_t>(std::max(count, 0)));
  }
  return text;
}

Result<std::string> Tokenizer::apply_chat_template(std::span<const ChatMessage> messages, bool add_assistant) const {
  std::vector<std::string> strings;
  std::vector<llama_chat_message> chat;
  std::size_t size = 256;
  strings.reserve(messages.size() * 2);
  for (const ChatMessage& message : messages) {
    for (const std::string_view part : {message.role, message.content}) {
      if (part.find('\0') != std::string_view::npos) {
        return fail(ErrorCode::invalid_argument, "A chat message holds a zero byte.");
      }
      size += part.size() + 32;
      strings.emplace_back(part);
    }
    if (size > kMaxTextBytes) {
      return fail(ErrorCode::invalid_argument, fmt::format("The chat is longer than {} bytes.", kMaxTextBytes));
    }
    chat.push_back({strings[strings.size() - 2].c_str(), strings.back().c_str()});
  }
  std::string text(size, '\0');
  const auto run = [&] {
    return llama_chat_apply_template(state_->chat_template.c_str(), chat.data(), chat.size(), add_assistant,
                                     text.data(), static_cast<std::int32_t>(text.size()));
  };
  DW_TRY_ASSIGN(std::int32_t count, guarded(run));
  if (count > static_cast<std::int32_t>(text.size())) {
    text.resize(static_cast<std::size_t>(count));
    DW_TRY_ASSIGN(count, guarded(run));
  }
  if (count < 0) return fail(ErrorCode::unsupported, "The model's chat template cannot be applied to these messages.");
  text.resize(static_cast<std::size_t>(count));
  return text;
}

}  // namespace driftwood
