// driftwood thaw: a saved actor goes on, in this process.

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "actor_messages.hpp"
#include "command.hpp"
#include "snapshot_host.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kExamples =
    "  driftwood thaw talk --say \"What is my name?\"\n"
    "  driftwood thaw agent-1 --message step --message step --save agent-2\n"
    "The snapshot stays as it is; --save makes another one, which has it as its parent.";

struct Options {
  std::string snapshot;
  bool save = false;
  std::string label;
  ThawOptions thaw;
  MessageOptions messages;
};

Result<int> thaw(const Options& options, const Common& common) {
  DW_TRY(check_wanted_label(options.label));
  DW_TRY_ASSIGN(const auto messages, read_messages(options.messages));
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  DW_TRY_ASSIGN(const SnapshotId id, store->resolve(options.snapshot));
  DW_TRY_ASSIGN(const Snapshot snapshot, store->load(id));
  DW_TRY_ASSIGN(const SnapshotHost host, SnapshotHost::open(snapshot.manifest, options.thaw, !common.quiet));
  DW_TRY_ASSIGN(auto thawed, host.thaw(snapshot));
  thawed.actor->set_saved(id);
  const auto session = ChatSession::adopt(std::move(thawed.actor));
  Json replies = Json::array();
  DW_TRY(converse(*session, messages, common, replies));
  Json saved;
  if (options.save) {
    DW_TRY_ASSIGN(const SnapshotId made, save_actor(*store, session->actor(), options.label, host.file));
    saved = made.to_hex();
    if (!common.json) {
      print_note("Saved as " + short_id(made) + (options.label.empty() ? "." : ", labelled " + options.label + "."));
    }
  }
  if (common.json) {
    print_json({{"snapshot", id.to_hex()},
                {"numerics_difference", thawed.numerics_difference},
                {"replies", std::move(replies)},
                {"saved", std::move(saved)}});
  } else if (messages.empty()) {
    print_note("The actor of " + short_id(id) + " was thawed and rests; no message was given (--say, --message).");
  }
  return 0;
}

}  // namespace

void add_thaw(const Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      add_command(commands, commands.app, "thaw", "Go on with a saved actor, and send it messages", kExamples);
  command->add_option("SNAPSHOT", options->snapshot, "An id, the beginning of one, or a label")->required();
  command->add_option("--save", options->label, "Save what the actor is afterwards, under this label (\"\": none)")
      ->type_name("LABEL")
      ->each([options](const std::string&) { options->save = true; });
  options->messages.add_to(command);
  options->thaw.add_to(command);
  add_json_option(command, commands.common);
  command->callback([options, &common = commands.common, &action = commands.action] {
    action = [options, &common] { return thaw(*options, common); };
  });
}

}  // namespace driftwood::cli
