// SQLite, with errors as Results. One thread at a time. Internal to src/snapshot.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/handle.hpp"
#include "core/hash.hpp"

namespace driftwood {

class Database;

/// A prepared statement; borrows its Database.
class Statement {
 public:
  /// Parameters are numbered from 1, columns from 0. Texts and hashes are copied.
  void bind(int parameter, std::int64_t value) { sqlite3_bind_int64(statement_.get(), parameter, value); }
  void bind(int parameter, std::string_view text) {
    sqlite3_bind_text(statement_.get(), parameter, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
  }
  void bind(int parameter, const Hash& hash) {
    sqlite3_bind_blob(statement_.get(), parameter, hash.bytes.data(), static_cast<int>(hash.bytes.size()),
                      SQLITE_TRANSIENT);
  }
  /// True when there is a row.
  Result<bool> next();
  /// Runs it to its end and makes it ready to be bound anew.
  Result<void> run();

  bool is_null(int column) { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }
  std::int64_t number(int column) { return sqlite3_column_int64(statement_.get(), column); }
  std::string text(int column);
  /// corrupt: not a blob of 32 bytes.
  Result<Hash> hash(int column);

 private:
  friend class Database;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  Handle<sqlite3_stmt, sqlite3_finalize> statement_;
};

class Database {
 public:
  /// Opens or makes a database. corrupt: the file is none, or is damaged.
  static Result<Database> open(const std::filesystem::path& path);

  Result<Statement> prepare(const char* sql);
  /// Runs statements that give no rows.
  Result<void> run(const char* sql);

 private:
  explicit Database(sqlite3* handle) : handle_(handle) {}
  Handle<sqlite3, sqlite3_close_v2> handle_;
};

/// A transaction that is undone unless it is committed.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Result<void> commit();
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  ~Transaction();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace driftwood
