#include "fake_host.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "driftwood.h"

namespace driftwood::guest::test {
namespace {

const char* last_error = "";

std::int32_t fail(std::int32_t code, const char* sentence) {
  last_error = sentence;
  return code;
}

/// As every call that fills a buffer.
template <typename T>
std::int32_t give(const std::vector<T>& values, T* buffer, std::uint32_t capacity) {
  std::copy_n(values.begin(), std::min<std::size_t>(values.size(), capacity), buffer);
  return static_cast<std::int32_t>(values.size());
}
std::int32_t give(const std::string& text, char* buffer, std::uint32_t capacity) {
  return give(std::vector<char>(text.begin(), text.end()), buffer, capacity);
}

std::int32_t* tokens_in(void* context) {
  return reinterpret_cast<std::int32_t*>(static_cast<char*>(context) + kKvOffset);
}

/// What the model says after these tokens: the next byte of its answer.
std::int32_t next_token(const std::int32_t* tokens, std::uint32_t count) {
  std::size_t said = 0;
  while (said < count && tokens[count - 1 - said] != kAssistant) ++said;
  const std::string& answer = fake_host().says;
  return said < answer.size() ? static_cast<std::uint8_t>(answer[said]) : kEnd;
}

}  // namespace

FakeHost& fake_host() {
  static FakeHost host;
  return host;
}

void reset_fake_host() { fake_host() = {}; }

}  // namespace driftwood::guest::test

using namespace driftwood::guest::test;

extern "C" {

std::int32_t dw_get_info(dw_info* out) {
  out->page_size = 4096;
  return DW_OK;
}
std::int32_t dw_log(std::uint32_t, const char*, std::uint32_t) { return DW_OK; }
std::int32_t dw_last_error(char* buffer, std::uint32_t capacity) { return give(last_error, buffer, capacity); }

std::int32_t dw_model_open(const char* name, std::uint32_t length, std::int32_t* model) {
  if (std::string_view(name, length) != "fake") return fail(DW_E_NOT_FOUND, "There is no such model.");
  *model = 7;
  return DW_OK;
}
std::int32_t dw_model_get_info(std::int32_t, dw_model_info* out) {
  out->n_vocab = kFakeVocab;
  return DW_OK;
}
std::int32_t dw_model_tokenize(std::int32_t, const char* text, std::uint32_t length, std::uint32_t,
                               std::int32_t* tokens, std::uint32_t capacity) {
  std::vector<std::int32_t> found;
  for (std::uint32_t i = 0; i < length; ++i) {
    const bool pair = i + 1 < length && text[i] == 'a' && text[i + 1] == 'b';
    found.push_back(pair ? kPair : static_cast<std::uint8_t>(text[i]));
    i += pair ? 1 : 0;
  }
  return give(found, tokens, capacity);
}
std::int32_t dw_model_detokenize(std::int32_t, const std::int32_t* tokens, std::uint32_t count, std::uint32_t,
                                 char* buffer, std::uint32_t capacity) {
  std::string text;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (tokens[i] == kPair) {
      text += "ab";
    } else {
      text += static_cast<char>(tokens[i]);
    }
  }
  return give(text, buffer, capacity);
}
std::int32_t dw_model_is_end(std::int32_t, std::int32_t token) { return token == kEnd ? 1 : 0; }
std::int32_t dw_model_chat_template(std::int32_t, const dw_chat_message* messages, std::uint32_t count,
                                    std::uint32_t add_assistant, char* buffer, std::uint32_t capacity) {
  std::string text;
  for (const dw_chat_message& message : std::vector<dw_chat_message>(messages, messages + count)) {
    const std::string_view content(message.content, message.content_length);
    if (content.contains('\0')) return fail(DW_E_INVALID_ARGUMENT, "A chat message holds a zero byte.");
    const char role = message.role[0];
    text += static_cast<char>(role == 's' ? kSystem : role == 'u' ? kUser : kAssistant);
    text += content;
    while (fake_host().template_trims && text.ends_with(' ')) text.pop_back();
    text += static_cast<char>(kEnd);
  }
  if (add_assistant != 0) text += static_cast<char>(kAssistant);
  return give(text, buffer, capacity);
}

std::int32_t dw_context_size(const dw_context_params* params, std::uint64_t* bytes) {
  *bytes = kKvOffset + params->n_ctx * sizeof(std::int32_t);
  return DW_OK;
}
std::int32_t dw_context_init(const dw_context_params* params, void* context, std::uint32_t) {
  dw_context_header header{};
  header.n_ctx = params->n_ctx;
  header.kv_offset = kKvOffset;
  header.token_stride = sizeof(std::int32_t);
  static_assert(sizeof header <= kKvOffset);
  std::memcpy(context, &header, sizeof header);
  return DW_OK;
}
std::int32_t dw_forward(const dw_forward_desc* desc) {
  FakeHost& host = fake_host();
  if (host.before_forward) {
    if (const std::int32_t error = host.before_forward()) return fail(error, "The test wants it to fail.");
  }
  auto* header = static_cast<dw_context_header*>(desc->context);
  if (desc->n_tokens == 0 || desc->n_tokens > header->n_ctx - header->n_tokens) {
    return fail(DW_E_INVALID_ARGUMENT, "The tokens do not fit.");
  }
  std::int32_t* tokens = tokens_in(desc->context);
  std::copy_n(desc->tokens, desc->n_tokens, tokens + header->n_tokens);
  header->n_tokens += desc->n_tokens;
  host.computed.insert(host.computed.end(), desc->tokens, desc->tokens + desc->n_tokens);
  if (desc->outputs == DW_LOGITS_LAST) {
    auto* logits = static_cast<float*>(desc->logits);
    std::fill_n(logits, kFakeVocab, 0.0F);
    logits[next_token(tokens, header->n_tokens)] = 10;
  }
  return DW_OK;
}
std::int32_t dw_truncate(std::int32_t, void* context, std::uint32_t, std::uint32_t n_tokens) {
  auto* header = static_cast<dw_context_header*>(context);
  header->n_tokens = std::min(header->n_tokens, n_tokens);
  return DW_OK;
}

}  // extern "C"
