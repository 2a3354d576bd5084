// driftwood chat: a conversation with a sandboxed chat actor, begun or gone on with.

#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "chat_options.hpp"
#include "chat_output.hpp"
#include "chat_talk.hpp"
#include "command.hpp"
#include "guest_log.hpp"
#include "model_access.hpp"
#include "progress.hpp"
#include "snapshot_host.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kExamples =
    "  driftwood chat                                    # with smollm2, which is fetched at the first use\n"
    "  driftwood chat -m ./my.gguf --system \"Answer in verse.\"\n"
    "  driftwood chat --resume before-lunch              # what /save before-lunch has saved\n"
    "  driftwood chat --prompt \"What is driftwood?\" --proof\n"
    "  echo \"Name three trees.\" | driftwood chat --temperature 0 --json\n"
    "At a terminal: /help lists the commands, Ctrl-C stops an answer, Ctrl-D ends the chat. From a pipe each line is\n"
    "one turn. The line history is kept under ${XDG_STATE_HOME:-~/.local/state}/driftwood.";

/// A chat that can be held, and what its actors need; dies in the opposite order.
struct OpenChat {
  std::unique_ptr<InterruptWatch> watch;  ///< at a terminal
  SnapshotHost host;
  chat::Settings settings;
  std::optional<std::uint64_t> seed;
  std::unique_ptr<ChatBranches> branches;
};

/// Makes actors of the chat's checkpoints.
ChatBranches::Thaw thaw_with(const SnapshotHost& host) {
  return [program = host.program,
          options = host.options](const Snapshot& snapshot) -> Result<std::unique_ptr<ChatSession>> {
    DW_TRY_ASSIGN(auto resumed, ChatSession::resume(program, snapshot, options));
    return std::move(resumed.session);
  };
}

Result<OpenChat> begin(const ChatOptions& options, const Common& common, bool interactive) {
  OpenChat chat;
  SnapshotHost& host = chat.host;
  DW_TRY_ASSIGN(host.options.limits.memory_bytes, options.runtime.memory_bytes());
  DW_TRY_ASSIGN(const ResolvedModel model,
                find_or_fetch_model(options.model, {.offline = options.offline, .show_progress = !common.quiet}));
  if (interactive) {
    DW_TRY_ASSIGN(chat.watch, InterruptWatch::create());
  }
  DW_TRY_ASSIGN(host.runtime, Runtime::open(options.runtime, {&model.path, 1}));
  DW_TRY_ASSIGN(host.file, chat_program(options.guest));
  // One that cannot be frozen can still be talked to.
  DW_TRY_ASSIGN(host.program, compile_program(*host.runtime.engine, host.file, {.freezable = false}));
  DW_TRY(host.runtime.models->add(model.name, model.path));
  {
    ProgressBar bar("loading " + model.name, !common.quiet);
    DW_TRY(host.runtime.models->open(model.name, [&](double fraction) { bar.update(fraction); }));
  }
  host.options.name = "chat";
  host.options.program_name = host.file.name;
  host.options.host.device = host.runtime.device.get();
  host.options.host.priority = static_cast<std::int8_t>(options.runtime.priority);
  host.options.host.models = host.runtime.models.get();
  host.options.host.grants.models = {model.name};
  host.options.host.grants.show_addresses = options.proof;
  host.options.host.log = log_guest_line;
  host.options.determinism = options.determinism;
  chat.settings = options.conversation.settings_for(model.name);
  chat.seed = chat.settings.sampling.seed;
  DW_TRY_ASSIGN(auto session, ChatSession::start(host.program, host.options, chat.settings));
  chat.branches = std::make_unique<ChatBranches>(std::move(session), thaw_with(host), host.file);
  return chat;
}

/// Says where a resumed conversation goes on: on standard output what was said last, at a terminal; else a note.
void tell_where(ChatSession& session, const chat::Status& status, bool interactive) {
  if (interactive) {
    const auto said = session.transcript();
    const std::size_t count = said ? said->size() : 0;
    for (std::size_t i = count < 2 ? 0 : count - 2; i < count; ++i) {
      const auto& [role, text] = (*said)[i];
      fmt::print("{}{}\n", role == "user" ? "> " : "", printable(text));
    }
  }
  print_note(fmt::format("The conversation goes on after {} {}, with {} of {} tokens in its context.", status.turns,
                         status.turns == 1 ? "turn" : "turns", status.context_tokens, status.n_ctx));
}

Result<OpenChat> resume(const ChatOptions& options, const Common& common, bool interactive) {
  OpenChat chat;
  if (interactive) {
    DW_TRY_ASSIGN(chat.watch, InterruptWatch::create());
  }
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  DW_TRY_ASSIGN(const SnapshotId id, store->resolve(options.resume));
  DW_TRY_ASSIGN(const Snapshot snapshot, store->load(id));
  ThawOptions thaw{.program = options.guest, .offline = options.offline, .runtime = options.runtime};
  if (!options.model.empty()) thaw.models = {options.model};
  DW_TRY_ASSIGN(chat.host, SnapshotHost::open(snapshot.manifest, thaw, !common.quiet));
  chat.host.options.host.grants.show_addresses = options.proof;
  DW_TRY_ASSIGN(auto resumed, ChatSession::resume(chat.host.program, snapshot, chat.host.options));
  note_numerics(resumed.numerics_difference);
  resumed.session->actor().set_saved(id);
  DW_TRY_ASSIGN(const chat::Status status, resumed.session->stats());
  chat.settings = options.conversation.settings_for(status.model);
  chat.settings.n_ctx = status.n_ctx;
  chat.settings.kv_type = status.kv_type;
  if (options.conversation.sampling_given()) {
    chat.seed = chat.settings.sampling.seed;
    DW_TRY(resumed.session->set_sampling(chat.settings.sampling));
  }
  if (common.json) {
    print_json({{"resumed",
                 {{"snapshot", id.to_hex()},
                  {"turns", status.turns},
                  {"context_tokens", status.context_tokens},
                  {"n_ctx", status.n_ctx},
                  {"numerics_difference", resumed.numerics_difference}}}},
               false);
  } else if (!common.quiet) {
    tell_where(*resumed.session, status, interactive);
  }
  chat.branches = std::make_unique<ChatBranches>(std::move(resumed.session), thaw_with(chat.host), chat.host.file);
  return chat;
}

Result<int> chat_with(const ChatOptions& options, const Common& common) {
  const bool interactive =
      !options.one_prompt && !common.json && is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO);
  DW_TRY_ASSIGN(const OpenChat chat,
                options.resume.empty() ? begin(options, common, interactive) : resume(options, common, interactive));
  ChatTalk talk(options, common, chat.settings, chat.seed, *chat.branches);
  if (options.one_prompt) {
    DW_TRY(talk.answer(options.prompt));
  } else if (interactive) {
    DW_TRY(talk.interactive(*chat.watch));
  } else {
    DW_TRY(talk.piped());
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
