#include "snapshot/store_state.hpp"

#include <fmt/format.h>

#include <deque>
#include <memory>
#include <utility>

#include "core/log.hpp"
#include "snapshot/snapshot_file.hpp"

namespace driftwood {

Result<Front> Store::State::front_of(const SnapshotId& id) const {
  DW_TRY_ASSIGN(const File file, folder.open_snapshot(id));
  DW_TRY_ASSIGN(Front front, read_front(file));
  if (front.header.root != id) {
    return fail(ErrorCode::corrupt, fmt::format("The snapshot file {} holds another snapshot: {}.",
                                                file.path().string(), front.header.root.to_hex()));
  }
  if (front.header.encoding != Encoding::mapped) {
    return fail(ErrorCode::corrupt,
                fmt::format("The snapshot file {} is packed, and cannot be mapped as it lies.", file.path().string()));
  }
  return front;
}

Result<std::shared_ptr<const Layer>> Store::State::slots_of(const FileReference& reference) {
  const std::lock_guard lock(layers_mutex);
  if (const auto found = layers.find(reference.header); found != layers.end()) {
    if (auto layer = found->second.lock()) return layer;
  }
  const auto attempt = [&]() -> Result<std::shared_ptr<const Layer>> {
    DW_TRY_ASSIGN(const auto opened, folder.open_referenced(reference));
    return open_slots(opened.first, opened.second);
  };
  auto layer = attempt();
  // A fresh file may have moved on between being found and being mapped.
  if (!layer && layer.error().code == ErrorCode::not_found) layer = attempt();
  if (layer) {
    std::erase_if(layers, [](const auto& entry) { return entry.second.expired(); });
    layers[reference.header] = *layer;
  }
  return layer;
}

Result<void> Store::State::check(const File& file, const Front& front) const {
  std::deque<File> opened;
  std::vector<SlotFile> files = {{&file, front.header.data_offset}};
  for (const FileReference& reference : front.layout.files) {
    DW_TRY_ASSIGN(auto other, folder.open_referenced(reference));
    const Header header = other.second;
    opened.push_back(std::move(other.first));
    files.push_back({&opened.back(), header.data_offset});
  }
  return check_chunks(front, files);
}

Result<void> Store::State::unlist(const SnapshotId& id, FilesInUse& in_use) {
  DW_TRY_ASSIGN(const File file, folder.open_snapshot(id));
  // What has no header that can be read can serve nobody.
  const auto header = read_header(file);
  const bool stays = header && in_use.contains(header->header_hash);
  DW_TRY(index.forget(id));
  DW_TRY(folder.unlist(id, stays ? &header->header_hash : nullptr));
  in_use.leave(id);
  known.forget(id);
  return {};
}

Result<void> Store::State::collect_kept(const FilesInUse& in_use, Collected& collected) {
  DW_TRY_ASSIGN(const auto kept, folder.list_kept());
  for (const Hash& header : kept) {
    if (in_use.contains(header)) continue;
    std::error_code error;
    const auto size = std::filesystem::file_size(folder.kept_path(header), error);
    DW_TRY(folder.remove_kept(header));
    ++collected.files;
    collected.bytes += error ? 0 : size;
  }
  return {};
}

Result<std::uint64_t> Store::State::total_bytes() {
  DW_TRY_ASSIGN(std::uint64_t total, index.total_bytes());
  DW_TRY_ASSIGN(const auto kept, folder.list_kept());
  for (const Hash& header : kept) {
    std::error_code error;
    const auto size = std::filesystem::file_size(folder.kept_path(header), error);
    total += error ? 0 : size;
  }
  return total;
}

Result<void> Store::State::check_room(std::uint64_t more) {
  if (!options.max_bytes) return {};
  DW_TRY_ASSIGN(const std::uint64_t total, total_bytes());
  if (more <= *options.max_bytes && total <= *options.max_bytes - more) return {};
  return fail(ErrorCode::unavailable,
              fmt::format("The store {} holds {}, and {} more would exceed its limit of {}.", folder.path().string(),
                          format_bytes(total), format_bytes(more), format_bytes(*options.max_bytes)));
}

Result<void> Store::State::settle_fresh() {
  DW_TRY_ASSIGN(auto fresh, folder.list_fresh());
  for (const StoreFolder::Unproven& one : fresh) {
    if (!one.this_boot) continue;
    // Left by a process that ended early, or on its way in another one.
    if (auto front = front_of(one.root)) settler.ask_for(std::make_shared<const Front>(*std::move(front)));
  }
  std::erase_if(fresh, [](const StoreFolder::Unproven& one) { return one.this_boot; });
  if (fresh.empty()) return {};

  DW_TRY_ASSIGN(const FolderLock lock, folder.lock_exclusive());
  const auto adopt = [&](const StoreFolder::Unproven& one) -> Result<void> {
    DW_TRY_ASSIGN(const File file, File::open(one.path));
    DW_TRY_ASSIGN(const Front front, read_front(file));
    if (front.header.root != one.root) return fail(ErrorCode::corrupt, "It holds another snapshot.");
    DW_TRY(check(file, front));
    return folder.adopt(one);
  };
  // One may lie in part in another, whichever comes first.
  for (std::size_t before = fresh.size() + 1; fresh.size() < before;) {
    before = fresh.size();
    std::erase_if(fresh, [&](const StoreFolder::Unproven& one) { return adopt(one).has_value(); });
  }
  for (const StoreFolder::Unproven& one : fresh) {
    if (!std::filesystem::exists(one.path)) continue;  // another process decided before the lock was had
    log(LogLevel::warning,
        fmt::format("The snapshot {} had not reached the disk when the machine stopped; it is removed.",
                    one.root.to_hex()));
    DW_TRY(folder.remove_file(one.path));
  }
  return {};
}

}  // namespace driftwood
