#include "snapshot/database.hpp"

#include <fmt/format.h>

#include <cstring>
#include <utility>

namespace driftwood {
namespace {

constexpr int kBusyMilliseconds = 10'000;

std::unexpected<Error> refused(sqlite3* handle, int status) {
  const int primary = status & 0xFF;
  const bool damaged = primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_ERROR;
  return fail(damaged ? ErrorCode::corrupt : ErrorCode::unavailable,
              fmt::format("The store's index cannot be used: {}.",
                          handle == nullptr ? sqlite3_errstr(status) : sqlite3_errmsg(handle)));
}

}  // namespace

Result<bool> Statement::next() {
  const int status = sqlite3_step(statement_.get());
  if (status == SQLITE_ROW) return true;
  if (status == SQLITE_DONE) return false;
  return refused(sqlite3_db_handle(statement_.get()), status);
}

Result<void> Statement::run() {
  const auto stepped = next();
  sqlite3_reset(statement_.get());
  if (!stepped) return std::unexpected(stepped.error());
  return {};
}

std::string Statement::text(int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return text == nullptr ? std::string() : std::string(text, sqlite3_column_bytes(statement_.get(), column));
}

Result<Hash> Statement::hash(int column) {
  Hash hash;
  const void* blob = sqlite3_column_blob(statement_.get(), column);
  if (blob == nullptr || sqlite3_column_bytes(statement_.get(), column) != static_cast<int>(hash.bytes.size())) {
    return fail(ErrorCode::corrupt, "The store's index holds a hash that is none.");
  }
  std::memcpy(hash.bytes.data(), blob, hash.bytes.size());
  return hash;
}

Result<Database> Database::open(const std::filesystem::path& path) {
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int status = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  Database database(handle);
  if (status != SQLITE_OK) return refused(handle, status);
  sqlite3_busy_timeout(handle, kBusyMilliseconds);
  // With a log that is waited for only where it is folded in, a machine that stops takes the last transactions, which
  // are read from the files again, and never parts of one.
  DW_TRY(database.run("PRAGMA synchronous = NORMAL"));
  // Refused while another process does the same; where the file is none, the next statement says so.
  (void)database.run("PRAGMA journal_mode = WAL");
  return database;
}

Result<Statement> Database::prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  const int status = sqlite3_prepare_v2(handle_.get(), sql, -1, &statement, nullptr);
  if (status != SQLITE_OK) return refused(handle_.get(), status);
  return Statement(statement);
}

Result<void> Database::run(const char* sql) {
  const int status = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
  if (status != SQLITE_OK) return refused(handle_.get(), status);
  return {};
}

Result<Transaction> Transaction::begin(Database& database) {
  DW_TRY(database.run("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Result<void> Transaction::commit() {
  DW_TRY(std::exchange(database_, nullptr)->run("COMMIT"));
  return {};
}

Transaction::~Transaction() {
  // A refused commit was undone by SQLite; so is this if it is refused.
  if (database_ != nullptr) (void)database_->run("ROLLBACK");
}

}  // namespace driftwood
