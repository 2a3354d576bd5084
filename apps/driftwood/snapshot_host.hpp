// What a snapshot needs besides itself: its program, the models that it names, and what it is granted; and the store
// that it lies in. One thread.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actor/actor.hpp"
#include "core/error.hpp"
#include "program_files.hpp"
#include "runtime.hpp"
#include "snapshot/store.hpp"

namespace driftwood::cli {

/// The store of this user.
Result<std::unique_ptr<Store>> open_snapshots();
/// The first 12 digits: enough to name a snapshot by.
std::string short_id(const SnapshotId& id);

/// How a snapshot is thawed, as the command line says it.
struct ThawOptions {
  std::vector<std::string> models;       ///< [NAME=]MODEL, each in place of one that the snapshot names
  std::string program;                   ///< the module's file; empty: the one that was kept
  std::vector<std::string> directories;  ///< HOST[::GUEST]
  bool offline = false;
  RuntimeOptions runtime;

  /// Adds --model, --program, --dir, --offline and those of the runtime.
  void add_to(CLI::App* command);
};

/// A model that a snapshot names, and the file that stands for it here.
struct FoundModel {
  Manifest::ModelReference reference;
  std::filesystem::path path;
};

/// The file of one model of a snapshot: what `options` says, else a model here of that name, else one of that hash;
/// models of the catalogue are fetched. not_found: nothing, and how to name it.
Result<FoundModel> find_model(const Manifest::ModelReference& reference, const ThawOptions& options, bool single,
                              bool show_progress);

/// Where a snapshot's actors come to life again. Outlives them.
struct SnapshotHost {
  Runtime runtime;
  ProgramFile file;
  std::shared_ptr<const Program> program;
  ActorOptions options;  ///< of every actor that is thawed here

  /// Finds program and models, and loads the models, so that a file other than the snapshot's is refused.
  /// not_found: program or model; incompatible: another program or model.
  static Result<SnapshotHost> open(const Manifest& manifest, const ThawOptions& options, bool show_progress);
  /// Actor::thaw; says on standard error why results may differ, where they may.
  Result<Thawed> thaw(const Snapshot& snapshot) const;
};

/// Passes on what Thawed says of numerics; nothing where it is empty.
void note_numerics(const std::string& difference);

/// invalid_argument: no label that a snapshot can have. Empty stands for none. To be asked before the work.
Result<void> check_wanted_label(std::string_view label);
/// Freezes an actor, keeps its program, and saves it: the parent of its snapshots to come.
Result<SnapshotId> save_actor(Store& store, Actor& actor, std::string_view label, const ProgramFile& file);

}  // namespace driftwood::cli
