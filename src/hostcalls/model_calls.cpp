#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "hostcalls/call.hpp"
#include "hostcalls/model_table.hpp"

namespace driftwood {
namespace {

Result<void> check_flags(const char* call, std::uint32_t flags, std::uint32_t known) {
  if ((flags & ~known) == 0) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("The argument \"flags\" of {} ({:#x}) has bits outside {:#x}.", call, flags, known));
}

Result<std::int32_t> model_open(GuestHost::State& state, Arguments arguments) {
  const GuestMemory memory = state.memory();
  DW_TRY_ASSIGN(const std::string_view name,
                memory.text({"dw_model_open", "name"}, arguments.u32(0), arguments.u32(1), DW_MODEL_NAME_MAX));
  const Argument out{"dw_model_open", "model"};
  DW_TRY(memory.read<std::int32_t>(out, arguments.u32(2)));
  DW_TRY_ASSIGN(const std::int32_t handle, open_model(state, name));
  DW_TRY(memory.write(out, arguments.u32(2), handle));
  return DW_OK;
}

Result<std::int32_t> model_close(GuestHost::State& state, Arguments arguments) {
  const std::int32_t handle = arguments.i32(0);
  DW_TRY(find_model(state, "dw_model_close", handle));
  state.models[static_cast<std::size_t>(handle) - 1] = {};
  return DW_OK;
}

Result<std::int32_t> model_info(GuestHost::State& state, Arguments arguments) {
  const GuestMemory memory = state.memory();
  const Argument out{"dw_model_get_info", "out"};
  DW_TRY_ASSIGN(const auto forward, find_model(state, out.call, arguments.i32(0)));
  DW_TRY(memory.read_sized<dw_model_info>(out, arguments.u32(1)));

  const Model& model = forward->model();
  const Hyperparameters& numbers = model.hyperparameters();
  const Tokenizer& tokenizer = model.tokenizer();
  dw_model_info told{};
  told.size = sizeof(told);
  told.n_vocab = numbers.n_vocab;
  told.n_layer = numbers.n_layer;
  told.n_embd = numbers.n_embd;
  told.n_head = numbers.n_head;
  told.n_head_kv = numbers.n_head_kv;
  told.n_ctx_train = numbers.n_ctx_train;
  told.bos = tokenizer.bos();
  told.eos = tokenizer.eos();
  told.eot = tokenizer.eot();
  told.add_bos = tokenizer.adds_bos() ? 1 : 0;
  std::strncpy(told.architecture, model.architecture().c_str(), sizeof(told.architecture) - 1);
  std::memcpy(told.hash, model.hash().bytes.data(), sizeof(told.hash));
  DW_TRY(memory.write(out, arguments.u32(1), told));
  return DW_OK;
}

Result<std::int32_t> model_tokenize(GuestHost::State& state, Arguments arguments) {
  const char* call = "dw_model_tokenize";
  const GuestMemory memory = state.memory();
  DW_TRY_ASSIGN(const auto forward, find_model(state, call, arguments.i32(0)));
  DW_TRY_ASSIGN(const std::string_view text,
                memory.text({call, "text"}, arguments.u32(1), arguments.u32(2), DW_MAX_TEXT));
  const std::uint32_t flags = arguments.u32(3);
  DW_TRY(check_flags(call, flags, DW_TOKENIZE_SPECIAL | DW_TOKENIZE_PARSE));
  const Argument out{call, "tokens"};
  DW_TRY(memory.array<Token>(out, arguments.u32(4), arguments.u32(5)));
  DW_TRY_ASSIGN(const std::vector<Token> tokens,
                forward->model().tokenizer().tokenize(text, (flags & DW_TOKENIZE_SPECIAL) != 0,
                                                      (flags & DW_TOKENIZE_PARSE) != 0));
  return memory.give<Token>(out, arguments.u32(4), arguments.u32(5), tokens);
}

Result<std::int32_t> model_detokenize(GuestHost::State& state, Arguments arguments) {
  const char* call = "dw_model_detokenize";
  const GuestMemory memory = state.memory();
  DW_TRY_ASSIGN(const auto forward, find_model(state, call, arguments.i32(0)));
  if (arguments.u32(2) > DW_MAX_CTX) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The argument \"n_tokens\" of {} ({}) is over {}.", call, arguments.u32(2), DW_MAX_CTX));
  }
  DW_TRY_ASSIGN(const std::span<Token> tokens,
                memory.array<Token>({call, "tokens"}, arguments.u32(1), arguments.u32(2)));
  const std::uint32_t flags = arguments.u32(3);
  DW_TRY(check_flags(call, flags, DW_DETOKENIZE_SPECIAL));
  const Argument out{call, "buffer"};
  DW_TRY(memory.array<char>(out, arguments.u32(4), arguments.u32(5)));
  DW_TRY_ASSIGN(const std::string text,
                forward->model().tokenizer().detokenize(tokens, (flags & DW_DETOKENIZE_SPECIAL) != 0));
  return memory.give<char>(out, arguments.u32(4), arguments.u32(5), text);
}

Result<std::int32_t> model_is_end(GuestHost::State& state, Arguments arguments) {
  const char* call = "dw_model_is_end";
  DW_TRY_ASSIGN(const auto forward, find_model(state, call, arguments.i32(0)));
  const Token token = arguments.i32(1);
  const std::uint32_t n_vocab = forward->model().tokenizer().n_vocab();
  if (static_cast<std::uint32_t>(token) >= n_vocab) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("The argument \"token\" of {} ({}) is not one of the vocabulary's {}.", call, token, n_vocab));
  }
  return forward->model().tokenizer().is_end(token) ? 1 : 0;
}

Result<std::int32_t> model_chat_template(GuestHost::State& state, Arguments arguments) {
  const char* call = "dw_model_chat_template";
  const GuestMemory memory = state.memory();
  DW_TRY_ASSIGN(const auto forward, find_model(state, call, arguments.i32(0)));
  if (arguments.u32(2) > DW_MAX_MESSAGES) {
    return fail(ErrorCode::invalid_argument, fmt::format("The argument \"n_messages\" of {} ({}) is over {}.", call,
                                                         arguments.u32(2), DW_MAX_MESSAGES));
  }
  DW_TRY_ASSIGN(const std::span<dw_chat_message> records,
                memory.array<dw_chat_message>({call, "messages"}, arguments.u32(1), arguments.u32(2)));
  std::vector<ChatMessage> messages;
  messages.reserve(records.size());
  std::uint64_t length = 0;
  for (const dw_chat_message& record : records) {
    DW_TRY_ASSIGN(const std::string_view role,
                  memory.text({call, "messages.role"}, record.role, record.role_length, DW_MODEL_NAME_MAX));
    DW_TRY_ASSIGN(const std::string_view content,
                  memory.text({call, "messages.content"}, record.content, record.content_length, DW_MAX_TEXT));
    length += content.size();
    if (length > DW_MAX_TEXT) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("The contents of {} have over {} bytes in all.", call, DW_MAX_TEXT));
    }
    messages.push_back({role, content});
  }
  const Argument out{call, "buffer"};
  DW_TRY(memory.array<char>(out, arguments.u32(4), arguments.u32(5)));
  DW_TRY_ASSIGN(const std::string text,
                forward->model().tokenizer().apply_chat_template(messages, arguments.u32(3) != 0));
  return memory.give<char>(out, arguments.u32(4), arguments.u32(5), text);
}

constexpr HostFunction kFunctions[] = {
    guest_function<model_open>("model_open", "iii"),
    guest_function<model_close>("model_close", "i"),
    guest_function<model_info>("model_info", "ii"),
    guest_function<model_tokenize>("model_tokenize", "iiiiii"),
    guest_function<model_detokenize>("model_detokenize", "iiiiii"),
    guest_function<model_is_end>("model_is_end", "ii"),
    guest_function<model_chat_template>("model_chat_template", "iiiiii"),
};

}  // namespace

std::span<const HostFunction> model_functions() { return kFunctions; }

}  // namespace driftwood
