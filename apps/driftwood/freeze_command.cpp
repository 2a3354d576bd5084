// driftwood freeze: an actor made, spoken to, and saved, in one go.

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "actor_messages.hpp"
#include "chat_options.hpp"
#include "command.hpp"
#include "core/bytes.hpp"
#include "guest_log.hpp"
#include "model_access.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "snapshot_host.hpp"
#include "snapshot_text.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kExamples =
    "  driftwood freeze --say \"My name is Ada.\" --label talk         # the built-in chat actor\n"
    "  driftwood freeze agent.wasm --message hello --label agent-1   # a reactor of your own\n"
    "  driftwood freeze agent.wasm --model story=./my.gguf --deterministic\n"
    "Then: driftwood thaw talk --say \"What is my name?\"";

struct FreezeOptions {
  std::string guest;  ///< empty: the built-in chat actor
  std::string label;
  std::string name;
  std::vector<std::string> models;
  std::vector<std::string> directories;
  std::vector<std::string> environment;
  std::vector<std::string> arguments;
  bool offline = false;
  std::optional<Determinism> determinism;
  MessageOptions messages;
  ConversationOptions conversation;
  RuntimeOptions runtime;
};

Result<void> grant(const FreezeOptions& options, ActorOptions& actor) {
  actor.name = options.name.empty() && options.guest.empty() ? "chat" : options.name;
  actor.determinism = options.determinism;
  actor.host.log = log_guest_line;
  DW_TRY_ASSIGN(actor.limits.memory_bytes, options.runtime.memory_bytes());
  actor.wasi.arguments = options.arguments;
  for (const std::string& text : options.directories) {
    DW_TRY_ASSIGN(auto directory, parse_directory(text));
    actor.wasi.directories.push_back(std::move(directory));
  }
  for (const std::string& text : options.environment) {
    DW_TRY_ASSIGN(auto variable, parse_environment(text));
    actor.wasi.environment.push_back(std::move(variable));
  }
  return {};
}

/// Those that the actor may open; the built-in one has one model, which is fetched where it is missing.
Result<std::vector<ResolvedModel>> models_of(const FreezeOptions& options, bool show_progress) {
  if (!options.guest.empty()) return find_models(options.models);
  if (options.models.size() > 1) {
    return fail(ErrorCode::invalid_argument, "The chat actor has one model, and " +
                                                 std::to_string(options.models.size()) + " were named with --model.");
  }
  const std::string wanted = options.models.empty() ? "" : options.models[0];
  DW_TRY_ASSIGN(auto model, find_or_fetch_model(wanted, {.offline = options.offline, .show_progress = show_progress}));
  return std::vector{std::move(model)};
}

/// The built-in actor with a conversation set up.
Result<std::unique_ptr<ChatSession>> start_chat(const FreezeOptions& options, const std::string& model,
                                                SnapshotHost& host, bool show_progress) {
  ProgressBar bar("loading " + model, show_progress);
  DW_TRY(host.runtime.models->open(model, [&](double fraction) { bar.update(fraction); }));
  return ChatSession::start(host.program, host.options, options.conversation.settings_for(model));
}

Result<std::unique_ptr<ChatSession>> start(const FreezeOptions& options, SnapshotHost& host, bool show_progress) {
  DW_TRY(grant(options, host.options));
  DW_TRY_ASSIGN(host.file, chat_program(options.guest));
  host.options.program_name = host.file.name;
  DW_TRY_ASSIGN(const auto models, models_of(options, show_progress));
  DW_TRY_ASSIGN(host.runtime, Runtime::open(options.runtime, files_of(models)));
  host.options.host.device = host.runtime.device.get();
  host.options.host.priority = static_cast<std::int8_t>(options.runtime.priority);
  host.options.host.models = host.runtime.models.get();
  DW_TRY_ASSIGN(host.program, compile_program(*host.runtime.engine, host.file));
  if (host.program->kind() != ProgramKind::reactor) {
    return fail(ErrorCode::invalid_argument,
                "The module \"" + host.file.name +
                    "\" does not export driftwood_receive, so it is no actor that rests between messages.");
  }
  DW_TRY(grant_models(models, *host.runtime.models, host.options.host.grants));
  if (options.guest.empty()) return start_chat(options, models.front().name, host, show_progress);
  DW_TRY_ASSIGN(auto actor, Actor::spawn(host.program, host.options));
  return ChatSession::adopt(std::move(actor));
}

Result<int> freeze(const FreezeOptions& options, const Common& common) {
  DW_TRY(check_wanted_label(options.label));
  DW_TRY_ASSIGN(const auto messages, read_messages(options.messages));
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  SnapshotHost host;
  DW_TRY_ASSIGN(const auto session, start(options, host, !common.quiet));
  Json replies = Json::array();
  DW_TRY(converse(*session, messages, common, replies));
  DW_TRY_ASSIGN(const SnapshotId id, save_actor(*store, session->actor(), options.label, host.file));
  DW_TRY_ASSIGN(const SnapshotInfo info, store->info(id));
  if (common.json) {
    print_json({{"snapshot", snapshot_json(info)}, {"replies", std::move(replies)}});
  } else {
    print_note(fmt::format("Saved as {}{}: {} of memory, {} on the disk.", short_id(id),
                           options.label.empty() ? "" : ", labelled " + options.label, format_bytes(info.memory_size),
                           format_bytes(info.own_bytes)));
  }
  return 0;
}

}  // namespace

void add_freeze(const Commands& commands) {
  auto options = std::make_shared<FreezeOptions>();
  CLI::App* command =
      add_command(commands, commands.app, "freeze", "Make an actor, send it messages, and save it", kExamples);
  command->add_option("GUEST", options->guest, "A reactor's Wasm file (default: the built-in chat actor)");
  command->add_option("--label", options->label, "The snapshot's label: letters, digits, '.', '_', '-'");
  command->add_option("--name", options->name, "The actor's name, for people");
  command
      ->add_option("-m,--model", options->models,
                   "A model that the guest may open; repeatable. For the chat actor: its model (default: smollm2)")
      ->type_name("[NAME=]MODEL")
      ->allow_extra_args(false);
  command->add_option("--dir", options->directories, "Let the guest use a folder; repeatable")
      ->type_name("HOST[::GUEST]")
      ->allow_extra_args(false);
  command->add_option("--env", options->environment, "Set a variable for the guest; repeatable")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  command->add_option("--arg", options->arguments, "An argument of the guest; repeatable")->allow_extra_args(false);
  command->add_flag("--offline", options->offline, "Never fetch a model");
  add_deterministic_option(command, options->determinism);
  options->messages.add_to(command);
  // Nobody sits there to stop an answer that goes on and on, as those of small models do.
  options->conversation.settings.sampling.max_tokens = 256;
  options->conversation.add_to(command);
  options->runtime.add_to(command);
  add_json_option(command, commands.common);
  command->callback([options, &common = commands.common, &action = commands.action] {
    action = [options, &common] { return freeze(*options, common); };
  });
}

}  // namespace driftwood::cli
