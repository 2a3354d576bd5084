#include "chat_talk.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "chat_output.hpp"
#include "line_editor.hpp"
#include "paths.hpp"
#include "progress.hpp"
#include "snapshot_host.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kHelp =
    "/reset          begin a new conversation\n"
    "/system TEXT    begin a new conversation with this system prompt (none: without one)\n"
    "/rewind N       back to before the last N turns (1 without N)\n"
    "/fork NAME      begin a branch here and go on in it; this conversation stays as it is\n"
    "/branches       list them; /branch NAME goes on with another one\n"
    "/save LABEL     save the conversation; driftwood chat --resume LABEL goes on with it\n"
    "/stats          tokens, context and device\n"
    "/quit           end the chat, as Ctrl-D does\n"
    "Ctrl-C stops an answer. A line that ends with \\ goes on in the next one.\n";

/// What /rewind is given.
Result<std::size_t> parse_turns(const std::string& text) {
  if (text.empty()) return 1;
  std::size_t turns = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), turns);
  if (status == std::errc{} && end == text.data() + text.size()) return turns;
  return fail(ErrorCode::invalid_argument, "/rewind takes a number of turns, not \"" + text + "\".");
}

}  // namespace

Result<void> ChatTalk::answer(const std::string& text) {
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
  const auto answer = branches_.session().say(text, events);
  bar.clear();
  printer.finish();
  if (!answer) return std::unexpected(answer.error());
  if (answer->answer.finish == "context_full" && answer->answer.generated_tokens == 0) {
    return fail(ErrorCode::invalid_argument, "The prompt does not fit what is left of the context of " +
                                                 std::to_string(answer->answer.n_ctx) +
                                                 " tokens; --ctx gives more room, /reset begins a new conversation.");
  }
  branches_.turn_done();
  show(*answer);
  return {};
}

void ChatTalk::show(const ChatAnswer& answer) {
  std::optional<MemoryProof> proof;
  if (options_.proof) proof = prove(branches_.session(), answer);
  if (common_.json) {
    Json json = answer_json(answer);
    if (seed_) json["seed"] = *seed_;
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

Result<bool> ChatTalk::command(const std::string& line) {
  const std::size_t space = line.find(' ');
  const std::string name = line.substr(0, space);
  const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
  if (name == "/quit" || name == "/exit") return false;
  if (name == "/help") {
    std::fputs(kHelp, stdout);
  } else if (name == "/reset") {
    DW_TRY(branches_.session().reset());
    branches_.began_anew();
    print_note("A new conversation.");
  } else if (name == "/system") {
    chat::Settings changed = settings_;
    changed.system = rest;
    DW_TRY(branches_.session().configure(changed));
    settings_ = std::move(changed);
    branches_.began_anew();
    print_note(rest.empty() ? "A new conversation without a system prompt."
                            : "A new conversation with this system prompt.");
  } else if (name == "/stats") {
    DW_TRY_ASSIGN(const chat::Status status, branches_.session().stats());
    std::fputs(status_lines(status).c_str(), stdout);
  } else if (name == "/save" || name == "/fork" || name == "/rewind" || name == "/branches" || name == "/branch") {
    DW_TRY(branch_command(name, rest));
  } else {
    print_note("There is no command " + name + "; /help lists them.");
  }
  return true;
}

Result<void> ChatTalk::branch_command(const std::string& name, const std::string& argument) {
  if (name == "/save") {
    DW_TRY_ASSIGN(const SnapshotId id, branches_.save(argument));
    const std::string shown = argument.empty() ? short_id(id) : argument;
    print_note("Saved as " + short_id(id) + (argument.empty() ? "" : ", labelled " + argument) +
               "; \"driftwood chat --resume " + shown + "\" goes on with it.");
  } else if (name == "/fork") {
    const std::string left = branches_.current();
    DW_TRY(branches_.fork(argument));
    print_note("This is the branch " + branches_.current() + " now; /branch " + left + " goes back to the other.");
  } else if (name == "/rewind") {
    DW_TRY_ASSIGN(const std::size_t turns, parse_turns(argument));
    DW_TRY(branches_.rewind(turns));
    print_note("Back by " + std::to_string(turns) + (turns == 1 ? " turn." : " turns."));
  } else if (name == "/branch") {
    DW_TRY(branches_.switch_to(argument));
    print_note("This is the branch " + branches_.current() + " now.");
  } else {
    for (const auto& [branch, turns, live] : branches_.list()) {
      fmt::print("{} {:<20} {} {}\n", live ? '*' : ' ', printable(branch), turns, turns == 1 ? "turn" : "turns");
    }
  }
  return {};
}

Result<void> ChatTalk::interactive(InterruptWatch& watch) {
  DW_TRY_ASSIGN(const auto folder, state_path());
  DW_TRY_ASSIGN(const auto editor, LineEditor::create(folder / "chat_history", "> "));
  if (!common_.quiet) {
    std::printf("%s. /help lists the commands, Ctrl-D ends the chat.\n",
                bold(STDOUT_FILENO,
                     (options_.resume.empty() ? "Chatting with " : "Going on with ") + printable(settings_.model))
                    .c_str());
  }
  while (const auto line = editor->read()) {
    if (line->find_first_not_of(" \t\n") == std::string::npos) continue;
    Result<void> done;
    if (line->front() == '/') {
      const auto go_on = command(*line);
      if (go_on && !*go_on) return {};
      if (!go_on) done = std::unexpected(go_on.error());
    } else {
      const InterruptWatch::Scope scope(watch, [this] { branches_.session().cancel(); });
      done = answer(*line);
    }
    if (!done && !branches_.session().alive()) return done;
    if (!done) print_error(done.error(), false);
  }
  return {};
}

Result<void> ChatTalk::piped() {
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    DW_TRY(answer(line));
  }
  return {};
}

}  // namespace driftwood::cli
