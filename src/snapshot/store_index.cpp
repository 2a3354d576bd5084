#include "snapshot/store_index.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>

#include "core/log.hpp"
#include "snapshot/snapshot_file.hpp"

namespace driftwood {
namespace {

/// Named anew whenever the tables change; an index of another version is made anew.
constexpr int kSchemaVersion = 2;
constexpr const char* kSchema = R"(
  CREATE TABLE snapshots (id BLOB PRIMARY KEY, inode INTEGER NOT NULL, parent BLOB, created INTEGER NOT NULL,
    program BLOB NOT NULL, program_name TEXT NOT NULL, actor TEXT NOT NULL, fork_index INTEGER NOT NULL,
    own_bytes INTEGER NOT NULL, memory_size INTEGER NOT NULL, damage TEXT NOT NULL) WITHOUT ROWID;
  PRAGMA user_version = 2;
)";
constexpr const char* kColumns =
    "id, parent, created, program, program_name, actor, fork_index, own_bytes, memory_size, damage";

struct FileStatus {
  std::uint64_t inode = 0;
  std::uint64_t bytes = 0;
};

FileStatus status_of(const File& file) {
  struct stat status{};
  if (::fstat(file.fd(), &status) != 0) return {};
  // Holes take no room; a file system that compresses may tell less than the size, too.
  const auto on_disk = static_cast<std::uint64_t>(status.st_blocks) * 512;
  return {status.st_ino, std::min(on_disk, static_cast<std::uint64_t>(status.st_size))};
}

Result<void> write_row(Database& database, const SnapshotInfo& info, std::uint64_t inode) {
  DW_TRY_ASSIGN(Statement row, database.prepare("INSERT OR REPLACE INTO snapshots VALUES (?,?,?,?,?,?,?,?,?,?,?)"));
  row.bind(1, info.id);
  row.bind(2, static_cast<std::int64_t>(inode));
  if (info.parent) row.bind(3, *info.parent);
  row.bind(4, info.created_ns);
  row.bind(5, info.program);
  row.bind(6, info.program_name);
  row.bind(7, info.actor);
  row.bind(8, std::int64_t{info.fork_index});
  row.bind(9, static_cast<std::int64_t>(info.own_bytes));
  row.bind(10, static_cast<std::int64_t>(info.memory_size));
  row.bind(11, info.damage);
  return row.run();
}

SnapshotInfo info_of(const Front& front, std::uint64_t bytes) {
  const Manifest& manifest = front.manifest;
  SnapshotInfo info;
  info.id = front.header.root;
  info.parent = manifest.parent;
  info.created_ns = manifest.created_ns;
  info.program = manifest.program.hash;
  info.program_name = manifest.program.name;
  info.actor = manifest.actor;
  info.fork_index = manifest.fork_index;
  info.own_bytes = bytes;
  info.memory_size = front.header.memory_size;
  return info;
}

Result<SnapshotInfo> read_row(Statement& row) {
  SnapshotInfo info;
  DW_TRY_ASSIGN(info.id, row.hash(0));
  if (!row.is_null(1)) {
    DW_TRY_ASSIGN(info.parent, row.hash(1));
  }
  info.created_ns = row.number(2);
  DW_TRY_ASSIGN(info.program, row.hash(3));
  info.program_name = row.text(4);
  info.actor = row.text(5);
  info.fork_index = static_cast<std::uint32_t>(row.number(6));
  info.own_bytes = static_cast<std::uint64_t>(row.number(7));
  info.memory_size = static_cast<std::uint64_t>(row.number(8));
  info.damage = row.text(9);
  return info;
}

Result<void> delete_row(Database& database, const Hash& id) {
  DW_TRY_ASSIGN(Statement row, database.prepare("DELETE FROM snapshots WHERE id = ?"));
  row.bind(1, id);
  return row.run();
}

}  // namespace

void StoreIndex::discard() {
  database_.reset();
  std::error_code ignored;
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path_.string() + suffix, ignored);
}

Result<Database*> StoreIndex::open() {
  if (database_) return &*database_;
  DW_TRY_ASSIGN(Database database, Database::open(path_));
  const auto version = [&]() -> Result<std::int64_t> {
    DW_TRY_ASSIGN(Statement statement, database.prepare("PRAGMA user_version"));
    DW_TRY_ASSIGN(const bool row, statement.next());
    return row ? statement.number(0) : 0;
  };
  DW_TRY_ASSIGN(std::int64_t found, version());
  if (found == 0) {
    DW_TRY_ASSIGN(Transaction transaction, Transaction::begin(database));
    DW_TRY_ASSIGN(found, version());  // another process may have been first
    if (found == 0) DW_TRY(database.run(kSchema));
    DW_TRY(transaction.commit());
    found = kSchemaVersion;
  }
  if (found != kSchemaVersion) {
    return fail(ErrorCode::corrupt,
                fmt::format("The store's index is of version {}, and this build uses {}.", found, kSchemaVersion));
  }
  database_.emplace(std::move(database));
  return &*database_;
}

template <typename Work>
auto StoreIndex::with_current(Work work) -> decltype(work(std::declval<Database&>())) {
  const std::lock_guard lock(mutex_);
  const auto attempt = [&]() -> decltype(work(std::declval<Database&>())) {
    DW_TRY_ASSIGN(Database * database, open());
    DW_TRY(reconcile(*database));
    return work(*database);
  };
  auto result = attempt();
  if (result || result.error().code != ErrorCode::corrupt) return result;
  log(LogLevel::warning, fmt::format("{} It is made anew from the files.", result.error().message));
  discard();
  return attempt();
}

Result<void> StoreIndex::reconcile(Database& database) {
  DW_TRY_ASSIGN(const auto listed, folder_.list());
  std::vector<StoreFolder::Listed> known;
  {
    DW_TRY_ASSIGN(Statement rows, database.prepare("SELECT id, inode FROM snapshots ORDER BY id"));
    for (;;) {
      DW_TRY_ASSIGN(const bool more, rows.next());
      if (!more) break;
      DW_TRY_ASSIGN(const Hash id, rows.hash(0));
      known.push_back({id, static_cast<std::uint64_t>(rows.number(1))});
    }
  }
  const auto before = [](const StoreFolder::Listed& a, const StoreFolder::Listed& b) {
    return std::tie(a.root, a.inode) < std::tie(b.root, b.inode);
  };
  std::vector<StoreFolder::Listed> added, gone;
  std::ranges::set_difference(listed, known, std::back_inserter(added), before);
  std::ranges::set_difference(known, listed, std::back_inserter(gone), before);
  if (added.empty() && gone.empty()) return {};
  DW_TRY_ASSIGN(Transaction transaction, Transaction::begin(database));
  for (const auto& one : gone) DW_TRY(delete_row(database, one.root));
  for (const auto& one : added) DW_TRY(insert(database, one));
  return transaction.commit();
}

Result<void> StoreIndex::insert(Database& database, const StoreFolder::Listed& listed) {
  const auto file = folder_.open_snapshot(listed.root);
  if (!file && file.error().code == ErrorCode::not_found) return {};  // removed meanwhile
  if (!file) return std::unexpected(file.error());
  auto front = read_front(*file);
  if (front && front->header.root != listed.root) {
    front = fail(ErrorCode::corrupt, fmt::format("The snapshot file {} holds another snapshot: {}.",
                                                 file->path().string(), front->header.root.to_hex()));
  }
  if (front) return write_row(database, info_of(*front, status_of(*file).bytes), listed.inode);
  const ErrorCode code = front.error().code;
  if (code != ErrorCode::corrupt && code != ErrorCode::incompatible) return std::unexpected(front.error());
  SnapshotInfo damaged;
  damaged.id = listed.root;
  damaged.own_bytes = status_of(*file).bytes;
  damaged.damage = front.error().message;
  return write_row(database, damaged, listed.inode);
}

void StoreIndex::add(std::span<const std::shared_ptr<const Front>> fronts) {
  const std::lock_guard lock(mutex_);
  const auto added = [&]() -> Result<void> {
    DW_TRY_ASSIGN(Database * database, open());
    DW_TRY_ASSIGN(Transaction transaction, Transaction::begin(*database));
    for (const auto& front : fronts) {
      const auto file = folder_.open_snapshot(front->header.root);
      if (!file) continue;
      const FileStatus status = status_of(*file);
      DW_TRY(write_row(*database, info_of(*front, status.bytes), status.inode));
    }
    return transaction.commit();
  };
  if (const auto result = added(); !result) log(LogLevel::debug, result.error().to_string());
}

Result<void> StoreIndex::forget(const SnapshotId& id) {
  return with_current([&](Database& database) { return delete_row(database, id); });
}

Result<std::vector<SnapshotInfo>> StoreIndex::all() {
  return with_current([](Database& database) -> Result<std::vector<SnapshotInfo>> {
    DW_TRY_ASSIGN(Statement rows, database.prepare(fmt::format("SELECT {} FROM snapshots", kColumns).c_str()));
    std::vector<SnapshotInfo> infos;
    for (;;) {
      DW_TRY_ASSIGN(const bool more, rows.next());
      if (!more) break;
      DW_TRY_ASSIGN(SnapshotInfo info, read_row(rows));
      infos.push_back(std::move(info));
    }
    std::ranges::sort(infos, [](const SnapshotInfo& a, const SnapshotInfo& b) {
      return std::tie(b.created_ns, a.id) < std::tie(a.created_ns, b.id);
    });
    return infos;
  });
}

Result<SnapshotInfo> StoreIndex::find(const SnapshotId& id) {
  return with_current([&](Database& database) -> Result<SnapshotInfo> {
    DW_TRY_ASSIGN(Statement row,
                  database.prepare(fmt::format("SELECT {} FROM snapshots WHERE id = ?", kColumns).c_str()));
    row.bind(1, id);
    DW_TRY_ASSIGN(const bool found, row.next());
    if (found) return read_row(row);
    return fail(ErrorCode::not_found,
                fmt::format("There is no snapshot {} in {}.", id.to_hex(), folder_.path().string()));
  });
}

Result<std::uint64_t> StoreIndex::total_bytes() {
  return with_current([](Database& database) -> Result<std::uint64_t> {
    DW_TRY_ASSIGN(Statement row, database.prepare("SELECT total(own_bytes) FROM snapshots"));
    DW_TRY(row.next());
    return static_cast<std::uint64_t>(row.number(0));
  });
}

}  // namespace driftwood
