#include "support/llama_greedy.hpp"

#include <llama.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "core/handle.hpp"

namespace driftwood::testing {
namespace {

std::string chat_prompt(const llama_model* model, const std::string& prompt) {
  const llama_chat_message message{"user", prompt.c_str()};
  const char* chat_template = llama_model_chat_template(model, nullptr);
  std::string text(prompt.size() + 4096, '\0');
  const int size =
      llama_chat_apply_template(chat_template, &message, 1, true, text.data(), static_cast<int32_t>(text.size()));
  if (size < 0 || static_cast<std::size_t>(size) > text.size()) throw std::runtime_error("no chat template");
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::vector<llama_token> tokenize(const llama_vocab* vocabulary, const std::string& text) {
  std::vector<llama_token> tokens(text.size() + 8);
  const int count = llama_tokenize(vocabulary, text.c_str(), static_cast<int32_t>(text.size()), tokens.data(),
                                   static_cast<int32_t>(tokens.size()), true, true);
  if (count < 0) throw std::runtime_error("llama_tokenize failed");
  tokens.resize(static_cast<std::size_t>(count));
  return tokens;
}

std::string piece(const llama_vocab* vocabulary, llama_token token) {
  char bytes[256];
  const int size = llama_token_to_piece(vocabulary, token, bytes, sizeof(bytes), 0, false);
  return {bytes, static_cast<std::size_t>(std::max(size, 0))};
}

}  // namespace

std::string llama_greedy_answer(const std::filesystem::path& path, const std::string& prompt, int max_tokens) {
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  const Handle<llama_model, llama_model_free> model(
      llama_model_load_from_file(path.c_str(), llama_model_default_params()));
  if (!model) throw std::runtime_error("libllama could not load " + path.string());
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 1024;
  params.n_threads = params.n_threads_batch = 1;
  const Handle<llama_context, llama_free> context(llama_init_from_model(model.get(), params));
  if (!context) throw std::runtime_error("libllama gave no context");

  const llama_vocab* vocabulary = llama_model_get_vocab(model.get());
  std::vector<llama_token> tokens = tokenize(vocabulary, chat_prompt(model.get(), prompt));
  std::string answer;
  for (int i = 0; i < max_tokens; ++i) {
    const llama_batch batch = llama_batch_get_one(tokens.data(), static_cast<int32_t>(tokens.size()));
    if (llama_decode(context.get(), batch) != 0) throw std::runtime_error("llama_decode failed");
    const float* logits = llama_get_logits_ith(context.get(), -1);
    const llama_token next =
        static_cast<llama_token>(std::max_element(logits, logits + llama_vocab_n_tokens(vocabulary)) - logits);
    if (llama_vocab_is_eog(vocabulary, next)) break;
    answer += piece(vocabulary, next);
    tokens = {next};
  }
  return answer;
}

}  // namespace driftwood::testing
