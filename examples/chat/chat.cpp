// The chat actor: a conversation that lives in this guest's memory, driven by messages. See protocol.hpp.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "driftwood/chat.hpp"
#include "driftwood/host.hpp"
#include "protocol.hpp"

namespace {

using namespace driftwood::guest;
namespace chat = driftwood::chat;

constexpr std::uint32_t kDefaultContext = 4096;

/// All that the actor is, beside what Conversation holds.
struct Actor {
  std::optional<Conversation> conversation;
  std::uint32_t turns = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t reused_tokens = 0;
  std::uint64_t generated_tokens = 0;

  void forget_counts() { turns = 0, prompt_tokens = 0, reused_tokens = 0, generated_tokens = 0; }
};

Actor& actor() {
  static Actor instance;
  return instance;
}

AnswerOptions answer_options(const chat::Sampling& sampling) {
  return {.sampler = {.temperature = sampling.temperature,
                      .top_k = sampling.top_k,
                      .top_p = sampling.top_p,
                      .min_p = sampling.min_p,
                      .penalties = {sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty},
                      .penalty_window = sampling.penalty_window,
                      .seed = sampling.seed},
          .max_tokens = sampling.max_tokens,
          .stops = sampling.stop};
}

Result<ConversationOptions> conversation_options(const chat::Settings& settings, const Model& model) {
  ConversationOptions options;
  options.context.n_ctx = settings.n_ctx != 0 ? settings.n_ctx : std::min(model.info().n_ctx_train, kDefaultContext);
  if (settings.kv_type == "q8_0") {
    options.context.kv_type = DW_TYPE_Q8_0;
  } else if (settings.kv_type != "f16") {
    return fail(DW_E_INVALID_ARGUMENT, "The KV type (" + settings.kv_type + ") is not f16 or q8_0.");
  }
  if (settings.when_full == "drop_oldest") {
    options.when_full = WhenFull::drop_oldest;
  } else if (settings.when_full != "stop") {
    return fail(DW_E_INVALID_ARGUMENT, "when_full (" + settings.when_full + ") is not stop or drop_oldest.");
  }
  options.system = settings.system;
  options.answer = answer_options(settings.sampling);
  return options;
}

template <typename Fields>
Result<Fields> fields_of(const chat::Message& message) {
  auto fields = chat::read_fields<Fields>(message);
  if (!fields) return fail(DW_E_INVALID_ARGUMENT, std::move(fields).error());
  return *std::move(fields);
}

Result<Conversation*> conversation() {
  if (!actor().conversation) {
    return fail(DW_E_UNAVAILABLE, "There is no conversation yet: send \"configure\" first.");
  }
  return &*actor().conversation;
}

std::uint64_t address_of(const void* memory) { return reinterpret_cast<std::uintptr_t>(memory); }

Result<chat::Proof> proof(const Conversation& talk) {
  DW_TRY_ASSIGN(const dw_info info, host_info());
  return chat::Proof{.device = info.device,
                     .sharing = std::string(sharing_name(info.sharing)),
                     .host_base = info.host_base,
                     .device_base = info.device_base,
                     .context_address = address_of(talk.context().block().data()),
                     .context_bytes = talk.context().block().size(),
                     .logits_address = address_of(talk.logits().data()),
                     .bytes_copied = info.bytes_copied,
                     .threads = info.threads,
                     .page_size = info.page_size};
}

Result<std::string> status() {
  DW_TRY_ASSIGN(const Conversation* talk, conversation());
  DW_TRY_ASSIGN(chat::Proof shown, proof(*talk));
  const Model& model = talk->model();
  const chat::Status status = {.model = model.name(),
                               .architecture = model.info().architecture,
                               .model_hash = model.hash(),
                               .n_ctx = talk->context().n_ctx(),
                               .kv_type = talk->context().kv_type() == DW_TYPE_Q8_0 ? "q8_0" : "f16",
                               .context_tokens = talk->context().n_tokens(),
                               .turns = actor().turns,
                               .prompt_tokens = actor().prompt_tokens,
                               .reused_tokens = actor().reused_tokens,
                               .generated_tokens = actor().generated_tokens,
                               .proof = std::move(shown)};
  return chat::encode(chat::kStatus, status);
}

Result<std::string> configure(const chat::Message& message) {
  DW_TRY_ASSIGN(const auto settings, fields_of<chat::Settings>(message));
  DW_TRY_ASSIGN(const Model model, Model::open(settings.model));
  DW_TRY_ASSIGN(ConversationOptions options, conversation_options(settings, model));
  // The old one goes first: two Contexts may be more than linear memory holds.
  actor().conversation.reset();
  actor().forget_counts();
  DW_TRY_ASSIGN(Conversation talk, Conversation::create(model, std::move(options)));
  actor().conversation.emplace(std::move(talk));
  return status();
}

Result<std::string> set_sampling(const chat::Message& message) {
  DW_TRY_ASSIGN(Conversation * talk, conversation());
  DW_TRY_ASSIGN(const auto sampling, fields_of<chat::Sampling>(message));
  DW_TRY(talk->set_answer_options(answer_options(sampling)));
  return status();
}

Result<std::string> say(const chat::Message& message) {
  DW_TRY_ASSIGN(Conversation * talk, conversation());
  DW_TRY_ASSIGN(const Turn turn, talk->say(message.body, [](std::string_view piece) {
    // Where nobody listens (unavailable), the reply still has the whole text.
    return dw_emit(piece.data(), static_cast<std::uint32_t>(piece.size())) != DW_E_CANCELLED;
  }));
  ++actor().turns;
  actor().prompt_tokens += turn.prompt_tokens;
  actor().reused_tokens += turn.reused_tokens;
  actor().generated_tokens += turn.generated_tokens;
  DW_TRY_ASSIGN(chat::Proof shown, proof(*talk));
  const chat::Answer answer = {.finish = std::string(to_string(turn.finish)),
                               .prompt_tokens = turn.prompt_tokens,
                               .reused_tokens = turn.reused_tokens,
                               .generated_tokens = turn.generated_tokens,
                               .context_tokens = talk->context().n_tokens(),
                               .n_ctx = talk->context().n_ctx(),
                               .proof = std::move(shown)};
  return chat::encode(chat::kAnswer, answer, turn.text);
}

Result<std::string> transcript() {
  DW_TRY_ASSIGN(const Conversation* talk, conversation());
  chat::Message reply{std::string(chat::kTranscript), {}, {}};
  for (const ChatMessage& message : talk->messages()) reply.fields.emplace_back(message.role, message.content);
  return chat::encode(reply);
}

Result<std::string> tokens() {
  DW_TRY_ASSIGN(Conversation * talk, conversation());
  DW_TRY(talk->reconcile());
  std::string list;
  for (const Token token : talk->context().tokens()) list += (list.empty() ? "" : " ") + std::to_string(token);
  return chat::encode(chat::kTokens, list);
}

Result<std::string> reset() {
  DW_TRY_ASSIGN(Conversation * talk, conversation());
  DW_TRY(talk->reset());
  actor().forget_counts();
  return status();
}

Result<std::string> handle(std::string_view bytes) {
  const auto message = chat::decode(bytes);
  if (!message) return fail(DW_E_INVALID_ARGUMENT, message.error());
  if (message->verb == chat::kConfigure) return configure(*message);
  if (message->verb == chat::kSampling) return set_sampling(*message);
  if (message->verb == chat::kSay) return say(*message);
  if (message->verb == chat::kReset) return reset();
  if (message->verb == chat::kStats) return status();
  if (message->verb == chat::kTranscript) return transcript();
  if (message->verb == chat::kTokens) return tokens();
  return fail(DW_E_UNSUPPORTED, "There is no \"" + message->verb +
                                    "\"; there are configure, sampling, say, reset, stats, transcript and tokens.");
}

Result<std::string> receive() {
  DW_TRY_ASSIGN(const std::int32_t size, check(dw_receive(nullptr, 0)));
  std::string message(static_cast<std::size_t>(size), '\0');
  DW_TRY(check(dw_receive(message.data(), static_cast<std::uint32_t>(size))));
  return message;
}

}  // namespace

extern "C" DW_EXPORT("driftwood_receive") std::int32_t driftwood_receive() {
  const auto message = receive();
  const auto answer = message ? handle(*message) : std::unexpected(message.error());
  const std::string reply =
      answer ? *answer : chat::encode(chat::kError, chat::Failure{answer.error().code}, answer.error().message);
  return dw_reply(reply.data(), static_cast<std::uint32_t>(reply.size())) < 0 ? 1 : 0;
}
