#include "snapshot_host.hpp"

#include <algorithm>
#include <utility>

#include "console.hpp"
#include "core/hash.hpp"
#include "guest_log.hpp"
#include "model_access.hpp"
#include "options.hpp"
#include "paths.hpp"
#include "progress.hpp"
#include "snapshot/labels.hpp"

namespace driftwood::cli {
namespace {

/// What the options name for a model: with its name, or without one where the snapshot has a single model.
std::optional<std::string> named_for(const std::string& name, const ThawOptions& options, bool single) {
  for (const std::string& spec : options.models) {
    if (spec.starts_with(name + "=")) return spec.substr(name.size() + 1);
  }
  for (const std::string& spec : options.models) {
    if (spec.find('=') == std::string::npos && (single || spec == name)) return spec;
  }
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<Store>> open_snapshots() {
  DW_TRY_ASSIGN(auto folder, Store::default_folder());
  return Store::open({.folder = std::move(folder)});
}

std::string short_id(const SnapshotId& id) { return id.to_hex().substr(0, 12); }

void ThawOptions::add_to(CLI::App* command) {
  command
      ->add_option("-m,--model", models,
                   "A model that stands for the one the snapshot names; with NAME= where it names "
                   "several. Repeatable (default: one here of the same name or hash)")
      ->type_name("[NAME=]MODEL")
      ->allow_extra_args(false);
  command->add_option("--program", program, "The actor's module (default: the one kept when it was saved)")
      ->type_name("FILE");
  command->add_option("--dir", directories, "Let the guest use a folder; repeatable")
      ->type_name("HOST[::GUEST]")
      ->allow_extra_args(false);
  command->add_flag("--offline", offline, "Never fetch a model");
  runtime.add_to(command);
}

Result<FoundModel> find_model(const Manifest::ModelReference& reference, const ThawOptions& options, bool single,
                              bool show_progress) {
  const ModelAccess access{.offline = options.offline, .show_progress = show_progress};
  if (const auto given = named_for(reference.name, options, single)) {
    DW_TRY_ASSIGN(auto model, find_or_fetch_model(*given, access));
    return FoundModel{reference, std::move(model.path)};
  }
  DW_TRY_ASSIGN(const auto folder, model_store_path());
  DW_TRY_ASSIGN(const auto known, ModelStore(folder).list());
  const auto same_file = [&](const StoredModel& model) { return model.present && model.hash == reference.hash; };
  if (const auto found = std::ranges::find_if(known, same_file); found != known.end()) {
    return FoundModel{reference, found->path};
  }
  if (const CatalogueModel* entry = find_catalogue_model(reference.name); entry != nullptr && !options.offline) {
    DW_TRY_ASSIGN(auto model, find_or_fetch_model(reference.name, access));
    return FoundModel{reference, std::move(model.path)};
  }
  if (const auto found = std::ranges::find(known, reference.name, &StoredModel::name); found != known.end()) {
    return FoundModel{reference, found->path};
  }
  return fail(ErrorCode::not_found, "The snapshot needs the model " + reference.name + " (SHA-256 " +
                                        reference.hash.to_hex() + "), which is not here; name its file with --model" +
                                        (single ? "" : " " + reference.name + "=FILE") + ", or add it with " +
                                        "\"driftwood models add\".");
}

Result<SnapshotHost> SnapshotHost::open(const Manifest& manifest, const ThawOptions& options, bool show_progress) {
  SnapshotHost host;
  DW_TRY_ASSIGN(host.options.limits.memory_bytes, options.runtime.memory_bytes());
  for (const std::string& text : options.directories) {
    DW_TRY_ASSIGN(auto directory, parse_directory(text));
    host.options.wasi.directories.push_back(std::move(directory));
  }
  DW_TRY_ASSIGN(host.file, find_program(manifest.program, options.program));
  if (hash_bytes(host.file.bytes) != manifest.program.hash) {
    return fail(ErrorCode::incompatible, "The snapshot is of the program " + manifest.program.name + " (SHA-256 " +
                                             manifest.program.hash.to_hex() + "), and " + host.file.name +
                                             " is another one (SHA-256 " + hash_bytes(host.file.bytes).to_hex() + ").");
  }
  std::vector<FoundModel> models;
  std::vector<std::filesystem::path> files;
  for (const Manifest::ModelReference& reference : manifest.models) {
    DW_TRY_ASSIGN(auto model, find_model(reference, options, manifest.models.size() == 1, show_progress));
    files.push_back(model.path);
    models.push_back(std::move(model));
  }
  DW_TRY_ASSIGN(host.runtime, Runtime::open(options.runtime, files));
  host.options.host.device = host.runtime.device.get();
  host.options.host.priority = static_cast<std::int8_t>(options.runtime.priority);
  host.options.host.models = host.runtime.models.get();
  host.options.host.log = log_guest_line;
  for (const FoundModel& model : models) {
    const std::string& name = model.reference.name;
    DW_TRY(host.runtime.models->add(name, model.path));
    host.options.host.grants.models.insert(name);
    ProgressBar bar("loading " + name, show_progress);
    DW_TRY(host.runtime.models->open(name, [&](double fraction) { bar.update(fraction); }));
  }
  DW_TRY_ASSIGN(host.program, compile_program(*host.runtime.engine, host.file));
  return host;
}

Result<Thawed> SnapshotHost::thaw(const Snapshot& snapshot) const {
  DW_TRY_ASSIGN(auto thawed, Actor::thaw(program, snapshot, options));
  note_numerics(thawed.numerics_difference);
  return thawed;
}

void note_numerics(const std::string& difference) {
  if (!difference.empty()) print_note(difference);
}

Result<void> check_wanted_label(std::string_view label) { return label.empty() ? Result<void>{} : check_label(label); }

Result<SnapshotId> save_actor(Store& store, Actor& actor, std::string_view label, const ProgramFile& file) {
  DW_TRY_ASSIGN(const Snapshot snapshot, actor.freeze(label));
  DW_TRY(keep_program(file));
  DW_TRY_ASSIGN(const SnapshotId id, store.save(snapshot, label));
  actor.set_saved(id);
  return id;
}

}  // namespace driftwood::cli
