// driftwood fork: several actors that go on from one snapshot.

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "actor_messages.hpp"
#include "command.hpp"
#include "snapshot_host.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kExamples =
    "  driftwood fork talk 3 --say \"Tell me a story.\"        # the children are numbered from 1\n"
    "  driftwood fork agent-1 8 --message go --save try     # saves try-1 to try-8\n"
    "Children share the memory of the snapshot until they write. They are equal until something tells them apart: what\n"
    "the program does with its number (driftwood_forked, dw_self), or random numbers and clocks of the system.";

constexpr std::uint32_t kMostChildren = 1000;

struct Options {
  std::string snapshot;
  std::uint32_t count = 0;
  bool save = false;
  std::string label;
  ThawOptions thaw;
  MessageOptions messages;
};

/// Tells a child its number, sends it the messages, and saves it where that was asked for.
Result<Json> live(std::unique_ptr<Actor> child, std::uint32_t index, const Options& options,
                  const std::vector<ActorMessage>& messages, Store& store, const SnapshotHost& host,
                  const Common& common) {
  if (!common.json) {
    fmt::print("{}\n", bold(STDOUT_FILENO, fmt::format("[{}]", index)));
    std::fflush(stdout);
  }
  if (child->hears_of_forks()) DW_TRY(child->tell_forked(index, {}));
  const auto session = ChatSession::adopt(std::move(child));
  Json replies = Json::array();
  DW_TRY(converse(*session, messages, common, replies));
  Json json{{"index", index}, {"replies", std::move(replies)}, {"saved", nullptr}};
  if (options.save) {
    const std::string label = options.label.empty() ? "" : options.label + "-" + std::to_string(index);
    DW_TRY_ASSIGN(const SnapshotId id, save_actor(store, session->actor(), label, host.file));
    json["saved"] = id.to_hex();
    if (!common.json) print_note("Saved as " + short_id(id) + (label.empty() ? "." : ", labelled " + label + "."));
  }
  return json;
}

Result<int> fork(const Options& options, const Common& common) {
  DW_TRY(check_wanted_label(options.label));
  DW_TRY_ASSIGN(const auto messages, read_messages(options.messages));
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  DW_TRY_ASSIGN(const SnapshotId id, store->resolve(options.snapshot));
  DW_TRY_ASSIGN(const Snapshot snapshot, store->load(id));
  DW_TRY_ASSIGN(const SnapshotHost host, SnapshotHost::open(snapshot.manifest, options.thaw, !common.quiet));
  DW_TRY_ASSIGN(const auto thawed, host.thaw(snapshot));
  thawed.actor->set_saved(id);
  DW_TRY_ASSIGN(auto children, thawed.actor->fork(options.count));
  Json list = Json::array();
  for (std::uint32_t i = 0; i < options.count; ++i) {
    DW_TRY_ASSIGN(auto child, live(std::move(children[i]), i + 1, options, messages, *store, host, common));
    list.push_back(std::move(child));
  }
  if (common.json) {
    print_json({{"snapshot", id.to_hex()},
                {"numerics_difference", thawed.numerics_difference},
                {"children", std::move(list)}});
  }
  return 0;
}

}  // namespace

void add_fork(const Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = add_command(commands, commands.app, "fork", "Go on with a saved actor several times", kExamples);
  command->add_option("SNAPSHOT", options->snapshot, "An id, the beginning of one, or a label")->required();
  command->add_option("N", options->count, "How many children")->required()->check(CLI::Range(1U, kMostChildren));
  command->add_option("--save", options->label, "Save each child, as LABEL-1, LABEL-2, ... (\"\": without labels)")
      ->type_name("LABEL")
      ->each([options](const std::string&) { options->save = true; });
  options->messages.add_to(command);
  options->thaw.add_to(command);
  add_json_option(command, commands.common);
  command->callback([options, &common = commands.common, &action = commands.action] {
    action = [options, &common] { return fork(*options, common); };
  });
}

}  // namespace driftwood::cli
