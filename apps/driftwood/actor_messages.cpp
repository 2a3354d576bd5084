#include "actor_messages.hpp"

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "chat_output.hpp"

namespace driftwood::cli {
namespace {

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content = (std::ostringstream() << file.rdbuf()).str();
  if (!file) return fail(ErrorCode::not_found, "The message's file \"" + path + "\" cannot be read.");
  return content;
}

Result<Json> say(ChatSession& session, const std::string& message, const Common& common) {
  AnswerPrinter printer;
  ChatEvents events;
  if (!common.json) events.piece = [&](std::string_view piece) { printer.print(piece); };
  const auto answer = session.send_say(message, events);
  printer.finish();
  if (!answer) return std::unexpected(answer.error());
  return answer_json(*answer);
}

Result<Json> send(ChatSession& session, const std::string& message, const Common& common) {
  std::string emitted;
  DW_TRY_ASSIGN(const std::string reply,
                session.actor().send(message, [&](std::string_view piece) { emitted += piece; }));
  if (!common.json) {
    const std::string shown = is_terminal(fileno(stdout)) ? printable(reply) : reply;
    std::fwrite(shown.data(), 1, shown.size(), stdout);
    if (!shown.ends_with('\n')) std::fputc('\n', stdout);
  }
  return Json{{"reply", reply}, {"emitted", emitted}};
}

}  // namespace

void MessageOptions::add_to(CLI::App* command) {
  const auto add = [&](const char* name, Kind kind, const char* type, const char* description) {
    command
        ->add_option_function<std::string>(
            name, [this, kind](const std::string& value) { given_.push_back({kind, value}); }, description)
        ->type_name(type)
        ->trigger_on_parse()
        ->group("Messages, in the order given; each may be repeated");
  };
  add("--say", Kind::say, "TEXT", "Say this to a chat actor, and print its answer");
  add("--message", Kind::text, "TEXT", "Send these bytes, and print the reply");
  add("--message-file", Kind::file, "FILE", "Send a file's bytes, and print the reply");
}

Result<std::vector<ActorMessage>> read_messages(const MessageOptions& options) {
  std::vector<ActorMessage> messages;
  for (const auto& [kind, value] : options.given()) {
    switch (kind) {
      case MessageOptions::Kind::text: messages.push_back({false, value}); break;
      case MessageOptions::Kind::say: messages.push_back({true, chat::encode(chat::kSay, value)}); break;
      case MessageOptions::Kind::file: {
        DW_TRY_ASSIGN(auto bytes, read_file(value));
        messages.push_back({false, std::move(bytes)});
      }
    }
  }
  return messages;
}

Result<void> converse(ChatSession& session, const std::vector<ActorMessage>& messages, const Common& common,
                      Json& replies) {
  for (const ActorMessage& message : messages) {
    DW_TRY_ASSIGN(auto reply,
                  message.chat ? say(session, message.bytes, common) : send(session, message.bytes, common));
    replies.push_back(std::move(reply));
  }
  return {};
}

}  // namespace driftwood::cli
