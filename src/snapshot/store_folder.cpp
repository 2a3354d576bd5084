#include "snapshot/store_folder.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "core/handle.hpp"
#include "snapshot/boot_id.hpp"
#include "snapshot/snapshot_file.hpp"

namespace driftwood {
namespace {

constexpr std::size_t kHexSize = 64;
/// From so many files on, waiting for all that the file system has to write is shorter than waiting for each.
constexpr std::size_t kSyncAllFrom = 8;

Result<void> make_folder(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return LastError().because(fmt::format("The folder {} cannot be made", path.string()));
}

/// Calls visit(name, inode) for each entry but those that begin with a dot.
template <typename Visit>
Result<void> for_each_entry(const std::filesystem::path& folder, Visit visit) {
  const Handle<DIR, ::closedir> entries(::opendir(folder.c_str()));
  if (entries == nullptr) return LastError().because(fmt::format("The folder {} cannot be read", folder.string()));
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(entries.get());
    if (entry == nullptr) break;
    if (entry->d_name[0] != '.') visit(std::string_view(entry->d_name), static_cast<std::uint64_t>(entry->d_ino));
  }
  if (errno != 0) return LastError().because(fmt::format("The folder {} cannot be read", folder.string()));
  return {};
}

bool is_there(const std::filesystem::path& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace

Result<StoreFolder> StoreFolder::open(const std::filesystem::path& path, StoreStep step) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  std::filesystem::create_directories(absolute.parent_path(), error);
  DW_TRY(make_folder(absolute));
  for (const char* name : {"snapshots", "fresh", "kept", "writing", "labels"}) DW_TRY(make_folder(absolute / name));
  return StoreFolder(absolute, std::move(step), boot_id());
}

Result<FolderLock> StoreFolder::lock(const char* name, int operation) const {
  const auto path = path_ / name;
  const int made = ::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
  if (made < 0) return LastError().because(fmt::format("The store's lock {} cannot be opened", path.string()));
  File file = File::adopt(made, path);
  while (::flock(file.fd(), operation) != 0) {
    if (errno != EINTR) return LastError().because(fmt::format("The store's lock {} cannot be taken", path.string()));
  }
  return FolderLock(std::move(file));
}

Result<FolderLock> StoreFolder::lock_shared() const { return lock("lock", LOCK_SH); }
Result<FolderLock> StoreFolder::lock_exclusive() const { return lock("lock", LOCK_EX); }

Result<std::vector<StoreFolder::Unproven>> StoreFolder::list_fresh() const {
  std::vector<Unproven> files;
  const auto folder = path_ / "fresh";
  DW_TRY(for_each_entry(folder, [&](std::string_view name, std::uint64_t) {
    const std::size_t dash = name.find('-');
    const auto root = dash == name.npos ? fail(ErrorCode::corrupt, "") : Hash::from_hex(name.substr(dash + 1));
    if (root) files.push_back({folder / name, *root, name.substr(0, dash) == boot_});
  }));
  return files;
}

Result<std::vector<StoreFolder::Listed>> StoreFolder::list() const {
  std::vector<Listed> listed;
  // Fresh ones first: one that moves on while this reads is then seen twice, not missed.
  DW_TRY(for_each_entry(path_ / "fresh", [&](std::string_view name, std::uint64_t inode) {
    const bool ours = name.size() == boot_.size() + 1 + kHexSize && name.starts_with(boot_);
    const auto root = Hash::from_hex(ours ? name.substr(boot_.size() + 1) : "");
    if (root) listed.push_back({*root, inode});
  }));
  DW_TRY(for_each_entry(path_ / "snapshots", [&](std::string_view name, std::uint64_t inode) {
    if (const auto root = Hash::from_hex(name)) listed.push_back({*root, inode});
  }));
  std::ranges::sort(listed, {}, &Listed::root);
  const auto repeated = std::ranges::unique(listed, {}, &Listed::root);
  listed.erase(repeated.begin(), repeated.end());
  return listed;
}

Result<std::vector<Hash>> StoreFolder::list_kept() const {
  std::vector<Hash> kept;
  DW_TRY(for_each_entry(path_ / "kept", [&](std::string_view name, std::uint64_t) {
    if (const auto header = Hash::from_hex(name)) kept.push_back(*header);
  }));
  return kept;
}

bool StoreFolder::has(const Hash& root) const {
  return is_there(listed_path(root)) || is_there(fresh_path(root)) || is_there(listed_path(root));
}

Result<File> StoreFolder::open_snapshot(const Hash& root) const {
  // A fresh file may become a listed one between the first look and the second.
  for (const auto& path : {listed_path(root), fresh_path(root), listed_path(root)}) {
    auto file = File::open(path);
    if (file || file.error().code != ErrorCode::not_found) return file;
  }
  return fail(ErrorCode::not_found, fmt::format("There is no snapshot {} in {}.", root.to_hex(), path_.string()));
}

Result<std::pair<File, Header>> StoreFolder::open_referenced(const FileReference& reference) const {
  for (const bool listed : {true, false}) {
    auto file = listed ? open_snapshot(reference.root) : File::open(kept_path(reference.header));
    if (!file && file.error().code != ErrorCode::not_found) return std::unexpected(std::move(file).error());
    if (!file) continue;
    const auto header = read_header(*file);
    if (header && header->reference() == reference) return std::pair(std::move(*file), *header);
    // A damaged header is reported, unless the file that is meant is a kept one.
    if (!header && !is_there(kept_path(reference.header))) return std::unexpected(header.error());
  }
  return fail(ErrorCode::not_found,
              fmt::format("The file of the snapshot {}, in which some of the chunks lie, is not in {}.",
                          reference.root.to_hex(), path_.string()));
}

Result<File> StoreFolder::create_unfinished() const {
  DW_TRY(step("create"));
  return File::create(path_ / "writing" / unused_name());
}

Result<bool> StoreFolder::publish(const File& file, const Hash& root) const {
  if (boot_.empty()) DW_TRY(file.sync());
  DW_TRY(step("publish"));
  // A rename would take the place of a file that another process listed since this save began.
  DW_TRY_ASSIGN(const FolderLock alone, lock("publishing", LOCK_EX));
  if (has(root)) return false;
  DW_TRY(rename_file(file.path(), boot_.empty() ? listed_path(root) : fresh_path(root)));
  if (boot_.empty()) DW_TRY(sync_folder(path_ / "snapshots"));
  return true;
}

Result<void> StoreFolder::collect_fresh(const Hash& root, std::vector<std::pair<Hash, File>>& files) const {
  if (std::ranges::find(files, root, [](const auto& one) { return one.first; }) != files.end()) return {};
  auto file = File::open(fresh_path(root));
  if (!file) return {};  // it is durable already, or gone
  DW_TRY_ASSIGN(const Front front, read_front(*file));
  for (const FileReference& reference : front.layout.files) DW_TRY(collect_fresh(reference.root, files));
  file->begin_sync();
  files.emplace_back(root, std::move(*file));
  return {};
}

Result<void> StoreFolder::make_durable(std::span<const Hash> roots) const {
  // A file is moved to where all believe it only after those that it refers to.
  std::vector<std::pair<Hash, File>> files;
  for (const Hash& root : roots) DW_TRY(collect_fresh(root, files));
  if (files.empty()) return {};
  bool synced = false;
  if (files.size() >= kSyncAllFrom) {
    DW_TRY(step("sync"));
    DW_TRY_ASSIGN(synced, files.front().second.sync_file_system());
  }
  for (const auto& [root, file] : files) {
    if (!synced) {
      DW_TRY(step("sync"));
      DW_TRY(file.sync());
    }
    DW_TRY(step("settle"));
    auto renamed = rename_file(file.path(), listed_path(root));
    if (!renamed && renamed.error().code != ErrorCode::not_found) return renamed;
  }
  return sync_folder(path_ / "snapshots");
}

Result<void> StoreFolder::unlist(const Hash& root, const Hash* kept_as) const {
  // Something is going to rely on a kept file, so it must not be lost.
  if (kept_as != nullptr) DW_TRY(make_durable({&root, 1}));
  DW_TRY(step("unlist"));
  if (kept_as != nullptr) return rename_file(listed_path(root), kept_path(*kept_as));
  for (const auto& path : {listed_path(root), fresh_path(root)}) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return LastError().because(fmt::format("The file {} cannot be removed", path.string()));
    }
  }
  return {};
}

Result<void> StoreFolder::remove_kept(const Hash& header) const { return remove_file(kept_path(header)); }

Result<void> StoreFolder::remove_file(const std::filesystem::path& path) const {
  DW_TRY(step("collect"));
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return LastError().because(fmt::format("The file {} cannot be removed", path.string()));
}

Result<void> StoreFolder::remove_unfinished(std::uint64_t& files, std::uint64_t& bytes) const {
  std::vector<std::filesystem::path> found;
  DW_TRY(for_each_entry(path_ / "writing",
                        [&](std::string_view name, std::uint64_t) { found.push_back(path_ / "writing" / name); }));
  for (const auto& file : found) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    DW_TRY(remove_file(file));
    ++files;
    bytes += error ? 0 : size;
  }
  return {};
}

Result<void> StoreFolder::adopt(const Unproven& file) const {
  DW_TRY_ASSIGN(const File open, File::open(file.path));
  DW_TRY(open.sync());
  DW_TRY(step("adopt"));
  DW_TRY(rename_file(file.path, listed_path(file.root)));
  return sync_folder(path_ / "snapshots");
}

}  // namespace driftwood
