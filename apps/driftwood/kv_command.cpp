// driftwood kv: a saved actor's KV rows out into a safetensors file, and in again.

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "command.hpp"
#include "console.hpp"
#include "core/bytes.hpp"
#include "kv_context.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kExamples =
    "  driftwood kv export talk -o talk.safetensors\n"
    "  python3 -c 'from safetensors.numpy import load_file; print(load_file(\"talk.safetensors\")[\"layers.0.key\"])'\n"
    "  driftwood kv import talk talk.safetensors --label talk-2\n"
    "The tensors are layers.L.key and layers.L.value, [token, kv_head, element], with rope applied to the keys, and\n"
    "tokens where the actor tells them. A file of fewer tokens shortens the Context. docs/snapshots.md tells more.";

struct Options {
  std::string snapshot;
  std::string file;
  std::string label;
  std::optional<std::uint32_t> context;
  ThawOptions thaw;
};

Result<int> export_kv(const Options& options, const Common& common) {
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  DW_TRY_ASSIGN(const SnapshotId id, store->resolve(options.snapshot));
  DW_TRY_ASSIGN(const KvContext context, KvContext::open(*store, id, options.context, options.thaw));
  const auto tokens = context.ask_tokens(options.thaw);
  const auto none = std::vector<std::int32_t>();
  DW_TRY_ASSIGN(const std::uint64_t bytes, context.write(options.file, tokens ? *tokens : none));
  if (common.json) {
    Json notes = Json::array();
    if (!tokens) notes.push_back(tokens.error().to_string());
    print_json({{"snapshot", id.to_hex()},
                {"file", options.file},
                {"bytes", bytes},
                {"context", context_json(context.found())},
                {"has_tokens", tokens.has_value()},
                {"notes", std::move(notes)}});
    return 0;
  }
  print_note(fmt::format("Wrote {}: {} tokens, {}, {}.", options.file, context.found().n_tokens,
                         context.found().kv_type, format_bytes(bytes)));
  if (!tokens) print_note("The file does not name the tokens. " + tokens.error().to_string());
  return 0;
}

Result<int> import_kv(const Options& options, const Common& common) {
  DW_TRY(check_wanted_label(options.label));
  DW_TRY_ASSIGN(const auto store, open_snapshots());
  DW_TRY_ASSIGN(const SnapshotId id, store->resolve(options.snapshot));
  DW_TRY_ASSIGN(KvContext context, KvContext::open(*store, id, options.context, options.thaw));
  DW_TRY_ASSIGN(const KvChange change, context.change(options.file));
  DW_TRY_ASSIGN(const SnapshotId made, context.save(*store, options.label));
  if (common.json) {
    print_json({{"snapshot", made.to_hex()},
                {"parent", id.to_hex()},
                {"n_tokens", change.n_tokens},
                {"n_tokens_before", context.found().n_tokens},
                {"changed_tokens", change.changed}});
    return 0;
  }
  fmt::print("{}\n", made.to_hex());
  print_note(fmt::format("Saved as {}{}: {} tokens (there were {}), the rows of {} changed.", short_id(made),
                         options.label.empty() ? "" : ", labelled " + options.label, change.n_tokens,
                         context.found().n_tokens, change.changed));
  return 0;
}

using Run = Result<int> (*)(const Options&, const Common&);

CLI::App* add(const Commands& commands, CLI::App& parent, const char* name, const char* description,
              const std::shared_ptr<Options>& options, Run run) {
  CLI::App* command = add_command(commands, parent, name, description, kExamples);
  command->add_option("SNAPSHOT", options->snapshot, "An id, the beginning of one, or a label")->required();
  command->add_option("--context", options->context, "Which Context, from 1 on, where memory has several")
      ->type_name("N");
  options->thaw.add_to(command);
  add_json_option(command, commands.common);
  command->callback([options, run, &common = commands.common, &action = commands.action] {
    options->thaw.offline = true;
    action = [options, run, &common] { return run(*options, common); };
  });
  return command;
}

}  // namespace

void add_kv(const Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* kv = add_command(commands, commands.app, "kv", "KV rows of a saved actor as safetensors files", kExamples);
  kv->require_subcommand(1);
  CLI::App* out = add(commands, *kv, "export", "Write a Context's rows into a file", options, export_kv);
  out->add_option("-o,--output", options->file, "The file to make")->type_name("FILE")->required();
  CLI::App* in =
      add(commands, *kv, "import", "Put a file's rows in place of a Context's, as a new snapshot", options, import_kv);
  in->add_option("FILE", options->file, "The file to read")->required();
  in->add_option("--label", options->label, "The new snapshot's label: letters, digits, '.', '_', '-'");
}

}  // namespace driftwood::cli
