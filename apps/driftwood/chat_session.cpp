#include "chat_session.hpp"

#include <charconv>
#include <optional>
#include <system_error>

#include "core/clock.hpp"

#define DW_HOST
#include "driftwood.h"

namespace driftwood::cli {
namespace {

/// The code that a guest's DW_E_* stands for; a number that is none of them is the guest's fault.
ErrorCode code_of(std::int32_t guest_errno_value) {
  for (const ErrorCode code :
       {ErrorCode::invalid_argument, ErrorCode::not_found, ErrorCode::unsupported, ErrorCode::out_of_memory,
        ErrorCode::device_lost, ErrorCode::corrupt, ErrorCode::incompatible, ErrorCode::guest_trap,
        ErrorCode::unavailable, ErrorCode::cancelled, ErrorCode::internal}) {
    if (guest_errno(code) == guest_errno_value) return code;
  }
  return ErrorCode::unavailable;
}

Error not_a_chat_actor(const std::string& why) {
  return {ErrorCode::incompatible, "The guest does not answer as a chat actor does: " + why, {}};
}

template <typename Fields>
Result<Fields> fields_of(const chat::Message& message) {
  auto fields = chat::read_fields<Fields>(message);
  if (!fields) return std::unexpected(not_a_chat_actor(fields.error()));
  return *std::move(fields);
}

double rate(double count, double seconds) noexcept { return count > 0 && seconds > 0 ? count / seconds : 0; }

}  // namespace

double ChatAnswer::prefill_rate() const noexcept { return rate(answer.prompt_tokens, prefill_s); }

double ChatAnswer::decode_rate() const noexcept {
  // The first token comes from the prefill's logits; where the answer ended by itself, the token that
  // said so was decoded too.
  const double decoded = answer.generated_tokens - (answer.finish == "stop" ? 0.0 : 1.0);
  return rate(decoded, decode_s);
}

void ChatSession::take_progress(ActorOptions& options) {
  options.host.progress = [this](std::uint32_t done, std::uint32_t all) {
    if (progress_) progress_(done, all);
  };
}

Result<std::unique_ptr<ChatSession>> ChatSession::start(std::shared_ptr<const Program> program, ActorOptions options,
                                                        const chat::Settings& settings) {
  auto session = std::unique_ptr<ChatSession>(new ChatSession());
  session->take_progress(options);
  DW_TRY_ASSIGN(session->actor_, Actor::spawn(std::move(program), std::move(options)));
  DW_TRY(session->configure(settings));
  return session;
}

Result<ChatSession::Resumed> ChatSession::resume(std::shared_ptr<const Program> program, const Snapshot& snapshot,
                                                 ActorOptions options) {
  auto session = std::unique_ptr<ChatSession>(new ChatSession());
  session->take_progress(options);
  DW_TRY_ASSIGN(auto thawed, Actor::thaw(std::move(program), snapshot, std::move(options)));
  session->actor_ = std::move(thawed.actor);
  return Resumed{std::move(session), std::move(thawed.numerics_difference)};
}

std::unique_ptr<ChatSession> ChatSession::adopt(std::unique_ptr<Actor> actor) {
  auto session = std::unique_ptr<ChatSession>(new ChatSession());
  session->actor_ = std::move(actor);
  return session;
}

Result<chat::Message> ChatSession::send(std::string_view message, std::string_view expected,
                                        const std::function<void(std::string_view)>& emit) {
  DW_TRY_ASSIGN(const std::string bytes, actor_->send(message, emit));
  auto reply = chat::decode(bytes);
  if (!reply) return std::unexpected(not_a_chat_actor(reply.error()));
  if (reply->verb == chat::kError) {
    DW_TRY_ASSIGN(const auto failure, fields_of<chat::Failure>(*reply));
    return fail(code_of(failure.code), reply->body);
  }
  if (reply->verb != expected) {
    return std::unexpected(
        not_a_chat_actor("its reply is \"" + reply->verb + "\" where \"" + std::string(expected) + "\" is expected."));
  }
  return *std::move(reply);
}

Result<chat::Status> ChatSession::send_for_status(std::string_view message) {
  DW_TRY_ASSIGN(const chat::Message reply, send(message, chat::kStatus));
  return fields_of<chat::Status>(reply);
}

Result<chat::Status> ChatSession::configure(const chat::Settings& settings) {
  return send_for_status(chat::encode(chat::kConfigure, settings));
}

Result<chat::Status> ChatSession::set_sampling(const chat::Sampling& sampling) {
  return send_for_status(chat::encode(chat::kSampling, sampling));
}

Result<std::vector<std::pair<std::string, std::string>>> ChatSession::transcript() {
  DW_TRY_ASSIGN(chat::Message reply, send(chat::encode(chat::kTranscript), chat::kTranscript));
  return std::move(reply.fields);
}

Result<std::vector<std::int32_t>> ChatSession::tokens() {
  DW_TRY_ASSIGN(const chat::Message reply, send(chat::encode(chat::kTokens), chat::kTokens));
  std::vector<std::int32_t> tokens;
  const char* at = reply.body.data();
  const char* const end = at + reply.body.size();
  while (at != end) {
    std::int32_t token = 0;
    const auto [next, error] = std::from_chars(at, end, token);
    if (error != std::errc{} || (next != end && *next != ' ')) {
      return std::unexpected(not_a_chat_actor("its tokens are no list of numbers."));
    }
    tokens.push_back(token);
    at = next == end ? end : next + 1;
  }
  return tokens;
}

Result<chat::Status> ChatSession::reset() { return send_for_status(chat::encode(chat::kReset)); }

Result<chat::Status> ChatSession::stats() { return send_for_status(chat::encode(chat::kStats)); }

Result<ChatAnswer> ChatSession::say(std::string_view text, const ChatEvents& events) {
  return send_say(chat::encode(chat::kSay, text), events);
}

Result<ChatAnswer> ChatSession::send_say(std::string_view message, const ChatEvents& events) {
  const Stopwatch watch;
  std::optional<double> prefilled;
  progress_ = [&](std::uint32_t done, std::uint32_t all) {
    if (prefilled) return;
    if (done >= all) prefilled = watch.elapsed_s();
    if (events.prefill) events.prefill(done, all);
  };
  auto reply = send(message, chat::kAnswer, [&](std::string_view piece) {
    if (!prefilled) prefilled = watch.elapsed_s();
    if (events.piece) events.piece(piece);
  });
  progress_ = nullptr;
  if (!reply) return std::unexpected(std::move(reply).error());
  ChatAnswer answer;
  DW_TRY_ASSIGN(answer.answer, fields_of<chat::Answer>(*reply));
  answer.text = std::move(reply->body);
  const double all = watch.elapsed_s();
  answer.prefill_s = prefilled.value_or(all);
  answer.decode_s = all - answer.prefill_s;
  return answer;
}

}  // namespace driftwood::cli
