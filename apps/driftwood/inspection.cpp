#include "inspection.hpp"

#include <chrono>
#include <filesystem>

#include "chat_session.hpp"
#include "known_models.hpp"
#include "snapshot/transfer.hpp"
#include "temporary_folder.hpp"

namespace driftwood::cli {
namespace {

/// A snapshot and the store that it is in: the user's, or one of its own for an exported file.
struct Found {
  TemporaryFolder folder;  ///< of a store of its own; outlives it
  std::unique_ptr<Store> store;
  SnapshotId id;
  std::optional<PublicKey> signer;
};

Result<Found> find(const std::string& name) {
  Found found;
  DW_TRY_ASSIGN(found.store, open_snapshots());
  const auto id = found.store->resolve(name);
  std::error_code error;
  if (id) {
    found.id = *id;
    return found;
  }
  if (!std::filesystem::is_regular_file(name, error)) return std::unexpected(id.error());
  DW_TRY_ASSIGN(found.folder, TemporaryFolder::create());
  DW_TRY_ASSIGN(found.store, Store::open({.folder = found.folder.path() / "store"}));
  DW_TRY_ASSIGN(const ImportInfo imported, import_snapshot(name, *found.store));
  found.id = imported.id;
  found.signer = imported.signer;
  return found;
}

/// Asks a chat actor what was said.
Result<std::vector<std::pair<std::string, std::string>>> ask(const Snapshot& snapshot, const ThawOptions& options) {
  static constexpr std::chrono::seconds kPatience{20};
  DW_TRY_ASSIGN(SnapshotHost host, SnapshotHost::open(snapshot.manifest, options, false));
  host.options.limits.run_time = kPatience;
  DW_TRY_ASSIGN(auto resumed, ChatSession::resume(host.program, snapshot, host.options));
  return resumed.session->transcript();
}

}  // namespace

Result<Inspection> Inspection::make(const std::string& name, ThawOptions options) {
  options.offline = true;
  DW_TRY_ASSIGN(const Found found, find(name));
  Inspection made;
  made.signer = found.signer;
  DW_TRY_ASSIGN(made.info, found.store->info(found.id));
  DW_TRY_ASSIGN(made.lineage, found.store->lineage(found.id));
  made.lineage.erase(made.lineage.begin());
  DW_TRY_ASSIGN(const Snapshot snapshot, found.store->load(found.id));
  made.manifest = snapshot.manifest;

  DW_TRY_ASSIGN(const auto region,
                Region::create_over(snapshot.memory, linear_memory_options(snapshot.memory->size())));
  const std::span<const std::byte> memory(region->data(), snapshot.memory->size());
  made.memory_hash = hash_bytes(memory);
  made.contexts = find_contexts(memory, known_models(made.manifest, options, made.notes));
  if (made.contexts.size() == kMostContexts) {
    made.notes.push_back("What follows the first " + std::to_string(kMostContexts) +
                         " Contexts in memory was not searched for more.");
  }
  std::shared_ptr<const Image> parent;
  if (!made.lineage.empty()) {
    if (const auto loaded = found.store->load(made.lineage.front().id)) parent = loaded->memory;
  }
  made.compared = parent != nullptr;
  made.map = map_memory(memory, *snapshot.memory, parent.get());

  if (auto said = ask(snapshot, options)) {
    made.transcript = *std::move(said);
  } else {
    made.notes.push_back("What was said cannot be told: " + said.error().to_string());
  }
  return made;
}

}  // namespace driftwood::cli
