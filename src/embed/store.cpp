#include "embed/store_state.hpp"

#include <utility>

#include "embed/snapshot_state.hpp"
#include "snapshot/transfer.hpp"

namespace driftwood::v1 {
namespace {

std::vector<SnapshotInfo> to_public(std::vector<driftwood::SnapshotInfo> rows) {
  std::vector<SnapshotInfo> infos;
  infos.reserve(rows.size());
  for (driftwood::SnapshotInfo& row : rows) {
    infos.push_back({.id = row.id,
                     .labels = std::move(row.labels),
                     .parent = row.parent,
                     .created = time_of(row.created_ns),
                     .program = row.program,
                     .program_name = std::move(row.program_name),
                     .actor = std::move(row.actor),
                     .own_bytes = row.own_bytes,
                     .memory_bytes = row.memory_size,
                     .damage = std::move(row.damage)});
  }
  return infos;
}

}  // namespace

Store::Store(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {}

Result<std::filesystem::path> Store::default_folder() { return driftwood::Store::default_folder(); }

Result<Store> Store::open(const StoreOptions& options) {
  driftwood::StoreOptions given{.folder = options.folder,
                                .max_bytes = options.max_bytes,
                                .sync_each_save = options.sync_each_save,
                                .on_step = {}};
  if (given.folder.empty()) {
    DW_TRY_ASSIGN(given.folder, default_folder());
  }
  auto state = std::make_shared<State>();
  DW_TRY_ASSIGN(state->store, driftwood::Store::open(std::move(given)));
  return Store(std::move(state));
}

Result<SnapshotId> Store::save(const Snapshot& snapshot, std::string_view label) {
  return state_->store->save(snapshot.state_->frozen, label);
}

Result<Snapshot> Store::load(const SnapshotId& id) {
  DW_TRY_ASSIGN(auto frozen, state_->store->load(id));
  return Snapshot(std::make_shared<const Snapshot::State>(std::move(frozen)));
}

Result<Snapshot> Store::load(std::string_view name) {
  DW_TRY_ASSIGN(const SnapshotId id, resolve(name));
  return load(id);
}

Result<SnapshotId> Store::resolve(std::string_view name) const { return state_->store->resolve(name); }

Result<std::vector<SnapshotInfo>> Store::list() {
  DW_TRY_ASSIGN(auto rows, state_->store->list());
  return to_public(std::move(rows));
}

Result<std::vector<SnapshotInfo>> Store::lineage(const SnapshotId& id) {
  DW_TRY_ASSIGN(auto rows, state_->store->lineage(id));
  return to_public(std::move(rows));
}

Result<void> Store::check(const SnapshotId& id) { return state_->store->check(id); }

Result<void> Store::remove(const SnapshotId& id) { return state_->store->remove(id); }

Result<void> Store::sync() { return state_->store->sync(); }

Result<void> Store::export_to(const SnapshotId& id, const std::filesystem::path& path, const ExportOptions& options) {
  std::optional<SigningKey> key;
  if (options.signing_key) {
    DW_TRY_ASSIGN(key, SigningKey::read(*options.signing_key));
  }
  DW_TRY(export_snapshot(*state_->store, id, path,
                         {.compression = options.compression, .signing_key = key ? &*key : nullptr}));
  return {};
}

Result<SnapshotId> Store::import_from(const std::filesystem::path& path, const ImportOptions& options) {
  driftwood::ImportOptions given{.trusted = {}, .label = options.label};
  for (const std::filesystem::path& file : options.trusted) {
    DW_TRY_ASSIGN(const PublicKey key, PublicKey::read(file));
    given.trusted.push_back(key);
  }
  DW_TRY_ASSIGN(const ImportInfo imported, import_snapshot(path, *state_->store, given));
  return imported.id;
}

}  // namespace driftwood::v1
