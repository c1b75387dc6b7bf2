#include "cache/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include "base/log.h"

namespace rapid {

namespace fs = std::filesystem;

void Database::Close::operator()(sqlite3* db) const {
  sqlite3_close_v2(db);
}

void Statement::Finalise::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Error Database::error() const {
  const int code = sqlite3_errcode(db_.get());
  const bool damaged = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
  return Error{
      damaged ? ErrorCode::corrupt : ErrorCode::io,
      fmt::format("database: {}", sqlite3_errmsg(db_.get()))};
}

Status Database::run(const std::string& sql) {
  if (sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr) !=
      SQLITE_OK) {
    return error();
  }
  return {};
}

uint64_t Database::page_bytes() const {
  const auto ask = [&](std::string_view pragma) -> uint64_t {
    Statement statement(*this, pragma);
    const auto row = statement.step();
    return row && *row ? static_cast<uint64_t>(statement.integer(0)) : 0;
  };
  return ask("PRAGMA page_count") * ask("PRAGMA page_size");
}

int Database::changes() const {
  return sqlite3_changes(db_.get());
}

Result<Database> Database::try_open(
    const fs::path& path, const std::string& schema, int version) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(
      path.c_str(),
      &raw,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
      nullptr);
  Database db(raw);
  if (opened != SQLITE_OK) {
    return db.error();
  }
  sqlite3_busy_timeout(raw, 2000);
  RAPID_CHECK(db.run(fmt::format(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
      "PRAGMA journal_size_limit=262144; PRAGMA wal_autocheckpoint={};"
      "PRAGMA cache_size=-{}",
      kLogPages,
      kCacheKiB)));
  {
    Statement check(db, "PRAGMA quick_check(1)");
    RAPID_TRY(const bool row, check.step());
    if (!row || check.text(0) != "ok") {
      return Error{ErrorCode::corrupt, "database: it fails its check"};
    }
  }
  Statement ask(db, "PRAGMA user_version");
  RAPID_TRY(const bool row, ask.step());
  const int64_t found = row ? ask.integer(0) : 0;
  ask.reset();
  if (found != 0 && found != version) {
    return Error{
        ErrorCode::corrupt, fmt::format("database: it has version {}", found)};
  }
  if (found == 0) {
    RAPID_CHECK(db.run(fmt::format(
        "BEGIN IMMEDIATE; {}; PRAGMA user_version={}; COMMIT",
        schema,
        version)));
    db.started_anew_ = true;
  }
  return db;
}

Result<Database> Database::open(
    const fs::path& path, const std::string& schema, int version) {
  auto db = try_open(path, schema, version);
  if (db || db.error().code != ErrorCode::corrupt) {
    return db;
  }
  spdlog::warn(
      "{} is damaged ({}): it goes to {}.damaged and a new one is started",
      path.string(),
      db.error().what,
      path.filename().string());
  std::error_code ignored;
  fs::rename(path, path.string() + ".damaged", ignored);
  fs::remove(path, ignored);
  // A log of the old file would be replayed into the new one.
  fs::remove(path.string() + "-wal", ignored);
  fs::remove(path.string() + "-shm", ignored);
  return try_open(path, schema, version);
}

Statement::Statement(const Database& db, std::string_view sql) : db_(db) {
  sqlite3_stmt* raw = nullptr;
  sqlite3_prepare_v2(
      db.raw(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  statement_.reset(raw);
}

Statement& Statement::bind(int64_t value) {
  sqlite3_bind_int64(statement_.get(), next_++, value);
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  sqlite3_bind_text64(
      statement_.get(),
      next_++,
      text.data(),
      text.size(),
      SQLITE_TRANSIENT,
      SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind(std::span<const std::byte> blob) {
  // A null pointer would bind NULL.
  const void* data = blob.empty() ? static_cast<const void*>("") : blob.data();
  sqlite3_bind_blob64(
      statement_.get(), next_++, data, blob.size(), SQLITE_TRANSIENT);
  return *this;
}

Result<bool> Statement::step() {
  const int code = statement_ ? sqlite3_step(statement_.get()) : SQLITE_ERROR;
  if (code == SQLITE_ROW) {
    return true;
  }
  if (code == SQLITE_DONE) {
    return false;
  }
  return db_.error();
}

Status Statement::run() {
  const auto done = step();
  const Status status = done ? Status() : Status(done.error());
  reset();
  return status;
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
  next_ = 1;
}

int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string Statement::text(int column) const {
  const auto bytes = blob(column);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> Statement::blob(int column) const {
  const auto* data = static_cast<const std::byte*>(
      sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return {data, static_cast<size_t>(size)};
}

}  // namespace rapid
