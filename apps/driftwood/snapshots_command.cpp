// driftwood snapshots: what is in the store, and how it gets there and away.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "command.hpp"
#include "console.hpp"
#include "core/bytes.hpp"
#include "program_files.hpp"
#include "snapshot/signature.hpp"
#include "snapshot/transfer.hpp"
#include "snapshot_host.hpp"
#include "snapshot_text.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kExamples =
    "  driftwood snapshots                               # list, the newest first\n"
    "  driftwood snapshots label 3f9a before-lunch       # a name; it moves when another snapshot had it\n"
    "  driftwood snapshots export before-lunch talk.dwsnap --zstd --sign me.pem\n"
    "  driftwood snapshots import talk.dwsnap --trust friend.pub\n"
    "  driftwood snapshots rm 3f9a\n"
    "A snapshot is named by its id, the beginning of one (4 digits or more), or a label. They lie in\n"
    "${XDG_DATA_HOME:-~/.local/share}/driftwood/snapshots, and the programs that they need beside them. Keys are Ed25519\n"
    "in PEM files: openssl genpkey -algorithm ed25519 -out me.pem; openssl pkey -in me.pem -pubout -out me.pub";

struct SnapshotsOptions {
  std::string snapshot;
  std::string label;
  bool take_away = false;
  std::string file;
  std::optional<int> compression;
  std::string signing_key;
  std::vector<std::string> trusted;
  std::vector<std::string> several;
};

Result<int> list(const Common& common) {
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  DW_TRY_ASSIGN(const auto snapshots, store->list());
  DW_TRY_ASSIGN(const std::uint64_t bytes, store->total_bytes());
  if (common.json) {
    Json json = Json::array();
    for (const SnapshotInfo& info : snapshots) json.push_back(snapshot_json(info));
    print_json({{"bytes", bytes}, {"snapshots", std::move(json)}});
    return 0;
  }
  if (snapshots.empty()) {
    fmt::print("There are no snapshots yet; /save in \"driftwood chat\" and \"driftwood freeze\" make some.\n");
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {{"id", "label", "created", "program", "actor", "own size", "memory"}};
  for (const SnapshotInfo& info : snapshots) {
    rows.push_back({short_id(info.id), joined(info.labels), local_time(info.created_ns), printable(info.program_name),
                    printable(info.actor), format_bytes(info.own_bytes),
                    info.damage.empty() ? format_bytes(info.memory_size) : "damaged: " + printable(info.damage)});
  }
  print_table(rows);
  return 0;
}

Result<int> label(const SnapshotsOptions& options, const Common& common) {
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  if (options.take_away) {
    DW_TRY(store->remove_label(options.snapshot));
    if (!common.json) fmt::print("Took the label {} away.\n", options.snapshot);
    if (common.json) print_json({{"removed_label", options.snapshot}});
    return 0;
  }
  if (options.label.empty()) {
    return fail(ErrorCode::invalid_argument, "No label was given: driftwood snapshots label SNAPSHOT LABEL.");
  }
  DW_TRY_ASSIGN(const SnapshotId id, store->resolve(options.snapshot));
  DW_TRY(store->set_label(options.label, id));
  DW_TRY_ASSIGN(const SnapshotInfo info, store->info(id));
  if (common.json) {
    print_json(snapshot_json(info));
  } else {
    fmt::print("{} is labelled {} now.\n", short_id(id), joined(info.labels));
  }
  return 0;
}

Result<int> remove(const SnapshotsOptions& options, const Common& common) {
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  std::vector<SnapshotId> ids;
  for (const std::string& name : options.several) {
    DW_TRY_ASSIGN(const SnapshotId id, store->resolve(name));
    // One may be named twice, by its label and its id.
    if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  }
  DW_TRY(store->remove(ids));
  Json removed = Json::array();
  for (const SnapshotId& id : ids) {
    removed.push_back(id.to_hex());
    if (!common.json) fmt::print("Removed {}.\n", short_id(id));
  }
  if (common.json) print_json({{"removed", std::move(removed)}});
  return 0;
}

Result<int> export_one(const SnapshotsOptions& options, const Common& common) {
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  DW_TRY_ASSIGN(const SnapshotId id, store->resolve(options.snapshot));
  ExportOptions wanted{.compression = options.compression};
  std::optional<SigningKey> key;
  if (!options.signing_key.empty()) {
    DW_TRY_ASSIGN(key, SigningKey::read(options.signing_key));
    wanted.signing_key = &*key;
  }
  DW_TRY_ASSIGN(const ExportInfo info, export_snapshot(*store, id, options.file, wanted));
  if (common.json) {
    Json json{{"id", id.to_hex()}, {"file", options.file}, {"bytes", info.bytes}, {"memory_bytes", info.memory_bytes}};
    json["signer"] = key ? Json(key->public_key().to_hex()) : Json();
    print_json(json);
  } else {
    fmt::print("Exported {} to {}: {} for {} of memory{}.\n", short_id(id), printable(options.file),
               format_bytes(info.bytes), format_bytes(info.memory_bytes), key ? ", signed" : "");
  }
  return 0;
}

Result<int> import_one(const SnapshotsOptions& options, const Common& common) {
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  ImportOptions wanted{.label = options.label};
  for (const std::string& path : options.trusted) {
    DW_TRY_ASSIGN(const PublicKey key, PublicKey::read(path));
    wanted.trusted.push_back(key);
  }
  DW_TRY_ASSIGN(const ImportInfo info, import_snapshot(options.file, *store, wanted));
  if (common.json) {
    DW_TRY_ASSIGN(const SnapshotInfo imported, store->info(info.id));
    Json json = snapshot_json(imported);
    json["signer"] = info.signer ? Json(info.signer->to_hex()) : Json();
    print_json(json);
    return 0;
  }
  fmt::print("Imported {}; every hash was checked. {}.\n", short_id(info.id),
             info.signer ? "Signed by " + info.signer->to_hex() : "It is not signed");
  return 0;
}

Result<int> check(const SnapshotsOptions& options, const Common& common) {
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  std::vector<SnapshotId> ids;
  for (const std::string& name : options.several) {
    DW_TRY_ASSIGN(const SnapshotId id, store->resolve(name));
    ids.push_back(id);
  }
  if (ids.empty()) {
    DW_TRY_ASSIGN(const auto all, store->list());
    for (const SnapshotInfo& info : all) ids.push_back(info.id);
  }
  std::optional<Error> first;
  Json checked = Json::array();
  for (const SnapshotId& id : ids) {
    const auto result = store->check(id);
    checked.push_back({{"id", id.to_hex()}, {"damage", result ? "" : result.error().to_string()}});
    if (!common.json) fmt::print("{}  {}\n", short_id(id), result ? "whole" : printable(result.error().to_string()));
    if (!result && !first) first = result.error();
  }
  if (common.json) print_json({{"checked", std::move(checked)}});
  return first ? exit_status(first->code) : 0;
}

Result<int> collect(const SnapshotsOptions&, const Common& common) {
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  DW_TRY_ASSIGN(Store::Collected collected, store->collect());
  DW_TRY_ASSIGN(const Store::Collected programs, collect_programs());
  collected.files += programs.files;
  collected.bytes += programs.bytes;
  if (common.json) {
    print_json({{"files", collected.files}, {"bytes", collected.bytes}});
  } else {
    fmt::print("Removed {} files that nobody needed, {}.\n", collected.files, format_bytes(collected.bytes));
  }
  return 0;
}

using Work = Result<int> (*)(const SnapshotsOptions&, const Common&);

}  // namespace

void add_snapshots(const Commands& commands) {
  auto options = std::make_shared<SnapshotsOptions>();
  CLI::App* snapshots = add_command(commands, commands.app, "snapshots",
                                    "List, label, export, import, check and remove saved actors", kExamples);
  add_json_option(snapshots, commands.common);
  snapshots->require_subcommand(0, 1);
  const auto subcommand = [&](const char* name, const char* description, Work work) {
    CLI::App* command = add_command(commands, *snapshots, name, description);
    add_json_option(command, commands.common);
    command->callback([options, work, &common = commands.common, &action = commands.action] {
      action = [options, work, &common] { return work(*options, common); };
    });
    return command;
  };
  // CLI11 runs the parent's callback after the subcommand's, so it leaves a chosen one alone.
  snapshots->callback([&action = commands.action, &common = commands.common] {
    if (!action) action = [&common] { return list(common); };
  });
  const auto snapshot = [&](CLI::App* command) {
    command->add_option("SNAPSHOT", options->snapshot, "An id, the beginning of one, or a label")->required();
  };
  subcommand("list", "List the snapshots (as without a subcommand)",
             [](const SnapshotsOptions&, const Common& common) { return list(common); });
  CLI::App* name = subcommand("label", "Give a snapshot a label", label);
  snapshot(name);
  name->add_option("LABEL", options->label, "Letters, digits, '.', '_', '-'");
  name->add_flag("--remove", options->take_away, "Take the label SNAPSHOT away instead");
  subcommand("rm", "Remove snapshots; what others need of them stays", remove)
      ->add_option("SNAPSHOT", options->several, "Ids, beginnings of ids, or labels")
      ->required();
  CLI::App* to_file = subcommand("export", "Write a snapshot as one file", export_one);
  snapshot(to_file);
  to_file->add_option("FILE", options->file, "The file to write")->required();
  to_file
      ->add_flag_function(
          "--zstd{3}", [options](std::int64_t level) { options->compression = static_cast<int>(level); },
          "Compress, at level 3 or --zstd=LEVEL (1 to 19)")
      ->type_name("");
  to_file->add_option("--sign", options->signing_key, "Sign with this private key")->type_name("KEY.pem");
  CLI::App* from_file = subcommand("import", "Take a snapshot from a file, and check every hash", import_one);
  from_file->add_option("FILE", options->file, "The file to read")->required();
  from_file->add_option("--trust", options->trusted, "Refuse it unless one of these public keys signed it; repeatable")
      ->type_name("KEY.pub")
      ->allow_extra_args(false);
  from_file->add_option("--label", options->label, "Its label here (default: its own, if that is free)");
  subcommand("check", "Read snapshots (default: all) and compare every hash", check)
      ->add_option("SNAPSHOT", options->several, "Ids, beginnings of ids, or labels");
  subcommand("collect", "Remove files that nobody needs any more", collect);
}

}  // namespace driftwood::cli
