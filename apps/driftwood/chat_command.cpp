// driftwood chat: a conversation with a sandboxed chat actor.

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "chat_options.hpp"
#include "chat_output.hpp"
#include "chat_session.hpp"
#include "command.hpp"
#include "guest_log.hpp"
#include "guests.hpp"
#include "interrupt_watch.hpp"
#include "line_editor.hpp"
#include "model_access.hpp"
#include "paths.hpp"
#include "progress.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kExamples =
    "  driftwood chat                                    # with smollm2, which is fetched at the first use\n"
    "  driftwood chat -m ./my.gguf --system \"Answer in verse.\"\n"
    "  driftwood chat --prompt \"What is driftwood?\" --proof\n"
    "  echo \"Name three trees.\" | driftwood chat --temperature 0 --json\n"
    "At a terminal: /help lists the commands, Ctrl-C stops an answer, Ctrl-D ends the chat. From a pipe each line is\n"
    "one turn. The line history is kept under ${XDG_STATE_HOME:-~/.local/state}/driftwood.";

constexpr const char* kHelp =
    "/reset          begin a new conversation\n"
    "/system TEXT    begin a new conversation with this system prompt (none: without one)\n"
    "/stats          tokens, context and device\n"
    "/quit           end the chat, as Ctrl-D does\n"
    "Ctrl-C stops an answer. A line that ends with \\ goes on in the next one.\n";

/// One chat: what it was asked to be, and the session that answers.
class Chat {
 public:
  Chat(const ChatOptions& options, const Common& common, chat::Settings settings, ChatSession& session)
      : options_(options), common_(common), settings_(std::move(settings)), session_(session) {}

  Result<void> answer(const std::string& text);
  Result<void> interactive(InterruptWatch& watch);
  Result<void> piped();

 private:
  Result<bool> command(const std::string& line);
  void show(const ChatAnswer& answer);

  const ChatOptions& options_;
  const Common& common_;
  chat::Settings settings_;
  ChatSession& session_;
};

Result<void> Chat::answer(const std::string& text) {
  ProgressBar bar("reading the prompt", !common_.quiet);
  AnswerPrinter printer;
  ChatEvents events;
  events.prefill = [&](std::uint32_t done, std::uint32_t all) {
    if (done < all) bar.update(static_cast<double>(done) / all, std::to_string(done) + " of " + std::to_string(all));
  };
  events.piece = [&](std::string_view piece) {
    bar.clear();
    if (!common_.json) printer.print(piece);
  };
  const auto answer = session_.say(text, events);
  bar.clear();
  printer.finish();
  if (!answer) return std::unexpected(answer.error());
  if (answer->answer.finish == "context_full" && answer->answer.generated_tokens == 0) {
    return fail(ErrorCode::invalid_argument, "The prompt does not fit what is left of the context of " +
                                                 std::to_string(answer->answer.n_ctx) +
                                                 " tokens; --ctx gives more room, /reset begins a new conversation.");
  }
  show(*answer);
  return {};
}

void Chat::show(const ChatAnswer& answer) {
  std::optional<MemoryProof> proof;
  if (options_.proof) proof = prove(session_, answer);
  if (common_.json) {
    Json json = answer_json(answer, settings_.sampling.seed);
    if (proof) json["proof"] = proof_json(*proof);
    print_json(json, false);
    return;
  }
  if (proof) {
    std::printf("%s\n", proof_line(*proof, answer).c_str());
    std::fflush(stdout);
  }
  const std::string& finish = answer.answer.finish;
  if (finish == "cancelled") print_note("The answer was stopped.");
  if (finish == "length") print_note("The answer ended at --max-tokens.");
  if (finish == "context_full") {
    print_note("The context of " + std::to_string(answer.answer.n_ctx) +
               " tokens is full: /reset begins a new conversation, --ctx gives more room.");
  }
}

/// Carries out "/..."; the value says whether the chat goes on.
Result<bool> Chat::command(const std::string& line) {
  const std::size_t space = line.find(' ');
  const std::string name = line.substr(0, space);
  const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
  if (name == "/quit" || name == "/exit") return false;
  if (name == "/help") {
    std::fputs(kHelp, stdout);
  } else if (name == "/reset") {
    DW_TRY(session_.reset());
    print_note("A new conversation.");
  } else if (name == "/system") {
    chat::Settings changed = settings_;
    changed.system = rest;
    DW_TRY(session_.configure(changed));
    settings_ = std::move(changed);
    print_note(rest.empty() ? "A new conversation without a system prompt."
                            : "A new conversation with this system prompt.");
  } else if (name == "/stats") {
    DW_TRY_ASSIGN(const chat::Status status, session_.stats());
    std::fputs(status_lines(status).c_str(), stdout);
  } else {
    print_note("There is no command " + name + "; /help lists them.");
  }
  return true;
}

Result<void> Chat::interactive(InterruptWatch& watch) {
  DW_TRY_ASSIGN(const auto folder, state_path());
  DW_TRY_ASSIGN(const auto editor, LineEditor::create(folder / "chat_history", "> "));
  if (!common_.quiet) {
    std::printf("%s. /help lists the commands, Ctrl-D ends the chat.\n",
                bold(STDOUT_FILENO, "Chatting with " + printable(settings_.model)).c_str());
  }
  while (const auto line = editor->read()) {
    if (line->find_first_not_of(" \t\n") == std::string::npos) continue;
    Result<void> done;
    if (line->front() == '/') {
      const auto go_on = command(*line);
      if (go_on && !*go_on) return {};
      if (!go_on) done = std::unexpected(go_on.error());
    } else {
      const InterruptWatch::Scope scope(watch, [this] { session_.cancel(); });
      done = answer(*line);
    }
    if (!done && !session_.alive()) return done;
    if (!done) print_error(done.error(), false);
  }
  return {};
}

Result<void> Chat::piped() {
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    DW_TRY(answer(line));
  }
  return {};
}

Result<std::shared_ptr<const Program>> load_guest(const ChatOptions& options, Engine& engine) {
  if (!options.guest.empty()) return Program::load(engine, options.guest);
  if (chat_guest().empty()) {
    return fail(ErrorCode::unsupported,
                "This build has no chat actor of its own (DRIFTWOOD_BUILD_GUESTS was off); name one with --guest.");
  }
  return Program::compile(engine, chat_guest());
}

Result<int> chat_with(const ChatOptions& options, const Common& common) {
  const bool interactive =
      !options.one_prompt && !common.json && is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO);
  DW_TRY_ASSIGN(const std::size_t memory_bytes, options.runtime.memory_bytes());
  DW_TRY_ASSIGN(const ResolvedModel model,
                find_or_fetch_model(options.model, {.offline = options.offline, .show_progress = !common.quiet}));
  std::unique_ptr<InterruptWatch> watch;
  if (interactive) {
    DW_TRY_ASSIGN(watch, InterruptWatch::create());
  }
  DW_TRY_ASSIGN(const Runtime runtime, Runtime::open(options.runtime));
  DW_TRY_ASSIGN(auto program, load_guest(options, *runtime.engine));
  DW_TRY(runtime.models->add(model.name, model.path));
  {
    ProgressBar bar("loading " + model.name, !common.quiet);
    DW_TRY(runtime.models->open(model.name, [&](double fraction) { bar.update(fraction); }));
  }
  ActorOptions actor;
  actor.host.device = runtime.device.get();
  actor.host.models = runtime.models.get();
  actor.host.grants.models = {model.name};
  actor.host.grants.show_addresses = options.proof;
  actor.host.log = log_guest_line;
  actor.limits.memory_bytes = memory_bytes;
  const chat::Settings settings = options.settings_for(model.name);
  DW_TRY_ASSIGN(const auto session, ChatSession::start(std::move(program), std::move(actor), settings));
  Chat chat(options, common, settings, *session);
  if (options.one_prompt) {
    DW_TRY(chat.answer(options.prompt));
  } else if (interactive) {
    DW_TRY(chat.interactive(*watch));
  } else {
    DW_TRY(chat.piped());
  }
  return 0;
}

}  // namespace

void add_chat(const Commands& commands) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* command = add_command(commands, commands.app, "chat", "Hold a conversation with a model", kExamples);
  options->add_to(command);
  add_json_option(command, commands.common);
  command->callback([options, &common = commands.common, &action = commands.action] {
    action = [options, &common] { return chat_with(*options, common); };
  });
}

}  // namespace driftwood::cli
