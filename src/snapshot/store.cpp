#include "snapshot/store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <utility>

#include "snapshot/snapshot_file.hpp"
#include "snapshot/store_state.hpp"

namespace driftwood {
namespace {

constexpr std::size_t kShortestPrefix = 4;
constexpr std::size_t kIdDigits = 64;

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::unexpected<Error> no_snapshot(const StoreFolder& folder, std::string_view name) {
  return fail(ErrorCode::not_found, fmt::format("There is no snapshot {} in {}.", name, folder.path().string()));
}

}  // namespace

Result<std::filesystem::path> Store::default_folder() {
  // Relative ones are to be ignored, says the XDG Base Directory Specification.
  if (const char* data = std::getenv("XDG_DATA_HOME"); data != nullptr && data[0] == '/') {
    return std::filesystem::path(data) / "driftwood" / "snapshots";
  }
  const char* home = std::getenv("HOME");
  if (home == nullptr || home[0] == '\0') {
    return fail(ErrorCode::not_found, "Neither XDG_DATA_HOME nor HOME is set, so there is no folder for snapshots.");
  }
  return std::filesystem::path(home) / ".local" / "share" / "driftwood" / "snapshots";
}

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(StoreOptions options) {
  DW_TRY_ASSIGN(StoreFolder folder, StoreFolder::open(options.folder, options.on_step));
  auto state = std::make_unique<State>(std::move(options), std::move(folder));
  DW_TRY(state->settle_fresh());
  return std::unique_ptr<Store>(new Store(std::move(state)));
}

Result<SnapshotId> Store::resolve(std::string_view name) const {
  const StoreFolder& folder = state_->folder;
  if (!is_hex(name)) {
    const auto id = state_->labels.find(name);
    if (id && folder.has(*id)) return *id;
    if (!id && id.error().code != ErrorCode::not_found) return id;
    return fail(ErrorCode::not_found, fmt::format("There is no label \"{}\" in {}.", name, folder.path().string()));
  }
  if (name.size() < kShortestPrefix || name.size() > kIdDigits) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("\"{}\" is not the beginning of an id: it has {} digits, and {} to "
                            "{} are needed.",
                            name.substr(0, kIdDigits), name.size(), kShortestPrefix, kIdDigits));
  }
  if (name.size() == kIdDigits) {
    DW_TRY_ASSIGN(const Hash id, Hash::from_hex(name));
    if (folder.has(id)) return id;
    return no_snapshot(folder, name);
  }
  DW_TRY_ASSIGN(auto listed, folder.list());
  std::erase_if(listed, [&](const auto& one) { return !one.root.to_hex().starts_with(name); });
  if (listed.empty()) return no_snapshot(folder, name);
  if (listed.size() == 1) return listed.front().root;
  return fail(ErrorCode::invalid_argument,
              fmt::format("{} snapshots have ids that begin with {}, among them {} and {}.", listed.size(), name,
                          listed[0].root.to_hex(), listed[1].root.to_hex()));
}

Result<std::vector<SnapshotInfo>> Store::list() {
  DW_TRY_ASSIGN(auto infos, state_->index.all());
  DW_TRY_ASSIGN(auto labels, state_->labels.all());
  if (labels.empty()) return infos;
  for (SnapshotInfo& info : infos) {
    if (const auto found = labels.find(info.id); found != labels.end()) info.labels = std::move(found->second);
  }
  return infos;
}

Result<SnapshotInfo> Store::info(const SnapshotId& id) {
  DW_TRY_ASSIGN(SnapshotInfo info, state_->index.find(id));
  DW_TRY_ASSIGN(auto labels, state_->labels.all());
  info.labels = std::move(labels[id]);
  return info;
}

Result<std::vector<SnapshotInfo>> Store::lineage(const SnapshotId& id) {
  DW_TRY_ASSIGN(auto infos, list());
  std::map<SnapshotId, SnapshotInfo*> by_id;
  for (SnapshotInfo& info : infos) by_id[info.id] = &info;
  std::vector<SnapshotInfo> ancestors;
  // An id covers its parent's id, so that a line of ancestors has no loops; a damaged index might show one.
  std::set<SnapshotId> seen;
  for (std::optional<SnapshotId> next = id; next && by_id.contains(*next) && seen.insert(*next).second;) {
    ancestors.push_back(*by_id[*next]);
    next = ancestors.back().parent;
  }
  if (ancestors.empty()) return no_snapshot(state_->folder, id.to_hex());
  return ancestors;
}

Result<void> Store::remove(std::span<const SnapshotId> ids) {
  DW_TRY_ASSIGN(const FolderLock lock, state_->folder.lock_exclusive());
  DW_TRY_ASSIGN(auto in_use, FilesInUse::read(state_->folder));
  DW_TRY_ASSIGN(const auto labels, state_->labels.all());
  for (const SnapshotId& id : ids) {
    DW_TRY(state_->unlist(id, in_use));
    // From here on it is gone, and the rest is tidying up that collect() would do as well.
    if (const auto found = labels.find(id); found != labels.end()) {
      for (const std::string& label : found->second) DW_TRY(state_->labels.remove(label));
    }
  }
  Collected ignored;
  return state_->collect_kept(in_use, ignored);
}

Result<void> Store::set_label(std::string_view label, const SnapshotId& id) {
  DW_TRY(check_label(label));
  DW_TRY_ASSIGN(const FolderLock lock, state_->folder.lock_shared());
  if (!state_->folder.has(id)) return no_snapshot(state_->folder, id.to_hex());
  return state_->labels.set(label, id);
}

Result<void> Store::remove_label(std::string_view label) { return state_->labels.remove(label); }

Result<Store::Collected> Store::collect() {
  DW_TRY_ASSIGN(const FolderLock lock, state_->folder.lock_exclusive());
  Collected collected;
  DW_TRY(state_->folder.remove_unfinished(collected.files, collected.bytes));
  DW_TRY_ASSIGN(const auto in_use, FilesInUse::read(state_->folder));
  DW_TRY(state_->collect_kept(in_use, collected));
  DW_TRY_ASSIGN(const auto labels, state_->labels.all());
  for (const auto& [id, names] : labels) {
    if (state_->folder.has(id)) continue;
    for (const std::string& name : names) DW_TRY(state_->labels.remove(name));
  }
  DW_TRY_ASSIGN(const std::uint64_t links, state_->labels.remove_unfinished());
  collected.files += links;
  return collected;
}

Result<std::uint64_t> Store::total_bytes() { return state_->total_bytes(); }

Result<void> Store::sync() { return state_->settler.wait(); }

Result<std::pair<std::shared_ptr<const Front>, std::shared_ptr<const Image>>> Store::load_front(const SnapshotId& id) {
  DW_TRY_ASSIGN(const FolderLock lock, state_->folder.lock_shared());
  if (auto known = state_->known.find(id); known && known->image != nullptr && state_->folder.has(id)) {
    return std::pair(std::move(known->front), std::move(known->image));
  }
  DW_TRY_ASSIGN(auto read, state_->front_of(id));
  auto front = std::make_shared<const Front>(std::move(read));
  DW_TRY_ASSIGN(auto own, state_->slots_of(front->header.reference()));
  DW_TRY_ASSIGN(auto image, compose_image(*front, std::move(own),
                                          [&](const FileReference& reference) { return state_->slots_of(reference); }));
  state_->known.remember(id, front, image);
  return std::pair(std::move(front), std::move(image));
}

Result<Snapshot> Store::load(const SnapshotId& id) {
  DW_TRY_ASSIGN(auto loaded, load_front(id));
  return Snapshot{loaded.first->manifest, std::move(loaded.second)};
}

Result<void> Store::check(const SnapshotId& id) {
  DW_TRY_ASSIGN(const FolderLock lock, state_->folder.lock_shared());
  DW_TRY_ASSIGN(const Front front, state_->front_of(id));
  DW_TRY_ASSIGN(const File file, state_->folder.open_snapshot(id));
  return state_->check(file, front);
}

}  // namespace driftwood
