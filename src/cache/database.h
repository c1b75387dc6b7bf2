// One SQLite file that can be lost: what is in it is a cache, so a file that
// is damaged is renamed aside and a new one started.
//
// In WAL mode, so that a killed process loses at most its open transaction.
// Not for several threads at once; the owner holds a lock.
//
//   RAPID_TRY(auto db, Database::open(path, "CREATE TABLE t (a INTEGER)", 1));
//   Statement put(db, "INSERT INTO t VALUES (?)");
//   RAPID_CHECK(put.bind(7).run());
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace rapid {

class Database {
 public:
  // The log is applied to the file when it holds this many pages, so it takes
  // about as many bytes, and more only when one transaction does.
  static constexpr int kLogPages = 50;
  static constexpr uint64_t kLogBytes = kLogPages * (4096 + 24) + 32;

  // What SQLite keeps of a file in memory; its own 2 MiB would fill up over
  // days, and the system keeps the file's pages as well.
  static constexpr int kCacheKiB = 256;

  // `schema` runs when the file is new. A file of another `version`, one that
  // is no database and one that fails SQLite's own check are renamed to
  // <path>.damaged (an older one is replaced). Errors: io, when even a new one
  // cannot be made.
  static Result<Database> open(
      const std::filesystem::path& path,
      const std::string& schema,
      int version);

  Database(Database&&) = default;
  Database& operator=(Database&&) = default;

  Status run(const std::string& sql);  // no results wanted
  // The file is damaged (`corrupt`), full or unwritable (`io`).
  Error error() const;
  int changes() const;          // rows of the last statement
  uint64_t page_bytes() const;  // of the file once the log is applied
  sqlite3* raw() const { return db_.get(); }
  bool started_anew() const { return started_anew_; }

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  explicit Database(sqlite3* db) : db_(db) {}
  static Result<Database> try_open(
      const std::filesystem::path& path,
      const std::string& schema,
      int version);

  std::unique_ptr<sqlite3, Close> db_;
  bool started_anew_ = false;
};

class Statement {
 public:
  // An SQL text that does not compile is our bug or a damaged file: run() and
  // step() then return the error.
  Statement(const Database& db, std::string_view sql);
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // In the order of the question marks.
  Statement& bind(int64_t value);
  Statement& bind(std::string_view text);
  Statement& bind(std::span<const std::byte> blob);

  Status run();         // for statements without rows; may be run again
  Result<bool> step();  // true: there is a row
  int64_t integer(int column) const;
  std::string text(int column) const;
  std::span<const std::byte> blob(int column) const;  // until the next step
  void reset();

 private:
  struct Finalise {
    void operator()(sqlite3_stmt* statement) const;
  };
  const Database& db_;
  std::unique_ptr<sqlite3_stmt, Finalise> statement_;
  int next_ = 1;
};

}  // namespace rapid
