#include "cache/turn_ledger.h"

#include <cstring>

#include "base/log.h"
#include "cache/database.h"
#include "cache/turn_hash.h"
#include "cache/write_behind.h"
#include "hub/file_writer.h"

namespace rapid {

namespace {

constexpr int kVersion = 2;
constexpr const char* kSchema =
    "CREATE TABLE turns(id INTEGER PRIMARY KEY, turn TEXT, calls TEXT,"
    " text TEXT, place TEXT, hidden INTEGER, used INTEGER, tokens BLOB,"
    " head TEXT, checksum TEXT);"
    "CREATE INDEX turns_by_turn ON turns(turn, place);"
    "CREATE INDEX turns_by_use ON turns(used);"
    "CREATE TABLE calls(call TEXT, turn INTEGER);"
    "CREATE INDEX calls_by_call ON calls(call);"
    "CREATE INDEX calls_by_turn ON calls(turn)";

std::string checksum_of(
    std::span<const std::byte> bytes, std::string_view head) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(head)));
  hash.update(bytes);
  return hash.hex();
}

}  // namespace

struct TurnLedger::Key {
  std::string turn;  // text and calls
  std::string calls;
  std::string text;
};

struct TurnLedger::Store {
  // The file; the ledger's mutex is held for all that is done with it.
  struct File;
  std::unique_ptr<File> file;  // null: there is none
  WriteBehind writes;          // ends before the file does
};

struct TurnLedger::Store::File {
  Database db;
  uint64_t bytes = 0;
  int64_t clock = 0;

  static Result<std::unique_ptr<File>> open(const std::filesystem::path& path) {
    if (path != ":memory:") {
      RAPID_CHECK(make_folder(path.parent_path()));
    }
    RAPID_TRY(auto db, Database::open(path, kSchema, kVersion));
    auto store = std::make_unique<File>(File{std::move(db)});
    Statement ask(
        store->db,
        "SELECT ifnull(sum(length(tokens)), 0), ifnull(max(used), 0)"
        " FROM turns");
    RAPID_TRY(const bool row, ask.step());
    store->bytes = row ? static_cast<uint64_t>(ask.integer(0)) : 0;
    store->clock = row ? ask.integer(1) : 0;
    return store;
  }

  Status drop(int64_t id) {
    Statement size(db, "SELECT length(tokens) FROM turns WHERE id=?");
    RAPID_TRY(const bool row, size.bind(id).step());
    bytes -= row ? static_cast<uint64_t>(size.integer(0)) : 0;
    size.reset();
    Statement calls(db, "DELETE FROM calls WHERE turn=?");
    RAPID_CHECK(calls.bind(id).run());
    Statement turn(db, "DELETE FROM turns WHERE id=?");
    return turn.bind(id).run();
  }

  // The turn of this id; nothing when its bytes are not what was written.
  Result<std::optional<LedgerMatch>> read(int64_t id) {
    Statement ask(
        db, "SELECT tokens, checksum, head, hidden FROM turns WHERE id=?");
    RAPID_TRY(const bool row, ask.bind(id).step());
    if (!row) {
      return std::optional<LedgerMatch>();
    }
    LedgerMatch out{.head = ask.text(2), .hidden = ask.integer(3) != 0};
    const auto blob = ask.blob(0);
    if (checksum_of(blob, out.head) != ask.text(1) || blob.size() % 4 != 0) {
      ask.reset();
      spdlog::warn("turn ledger: turn {} is damaged and dropped", id);
      RAPID_CHECK(drop(id));
      return std::optional<LedgerMatch>();
    }
    out.tokens.resize(blob.size() / sizeof(int32_t));
    if (!blob.empty()) {
      std::memcpy(out.tokens.data(), blob.data(), blob.size());
    }
    ask.reset();
    // On a full disk turns are still found.
    Statement use(db, "UPDATE turns SET used=? WHERE id=?");
    (void)use.bind(++clock).bind(id).run();
    return std::optional(std::move(out));
  }

  // The newest row's id, 0 for none.
  static Result<int64_t> newest(Statement& ask) {
    RAPID_TRY(const bool row, ask.step());
    return row ? ask.integer(0) : int64_t{0};
  }

  Result<int64_t> by_place(const Key& key, const std::string& place) {
    Statement ask(
        db, "SELECT id FROM turns WHERE turn=? AND place=? ORDER BY used DESC");
    return newest(ask.bind(key.turn).bind(place));
  }

  Result<int64_t> by_call(const Key& key, const LedgerTurn& turn) {
    const bool silent = canonical_text(turn).empty();
    Statement ask(
        db,
        "SELECT t.id FROM calls c JOIN turns t ON t.id=c.turn"
        " WHERE c.call=? AND t.calls=? AND (t.text=? OR ?)"
        " AND length(t.tokens) > 0"
        " ORDER BY t.used DESC");
    for (const auto& call : turn.calls) {
      if (call.id.empty()) {
        continue;
      }
      ask.bind(call.id).bind(key.calls).bind(key.text).bind(
          int64_t{silent ? 1 : 0});
      RAPID_TRY(const int64_t id, newest(ask));
      if (id != 0) {
        return id;
      }
      ask.reset();
    }
    return int64_t{0};
  }

  Result<int64_t> by_content(const Key& key) {
    Statement ask(
        db,
        "SELECT id FROM turns WHERE turn=? AND hidden=0"
        " AND length(tokens) > 0 ORDER BY used DESC");
    return newest(ask.bind(key.turn));
  }

  Result<std::optional<LedgerMatch>> find(
      const Key& key, const std::string& place, const LedgerTurn& turn) {
    using By = LedgerMatch::By;
    for (const By by : {By::place, By::call_id, By::content}) {
      RAPID_TRY(
          const int64_t id,
          by == By::place     ? by_place(key, place)
          : by == By::call_id ? by_call(key, turn)
                              : by_content(key));
      if (id == 0) {
        continue;
      }
      RAPID_TRY(auto match, read(id));
      if (match) {
        match->by = by;
        return match;
      }
    }
    return std::optional<LedgerMatch>();
  }

  Status write(
      const Key& key,
      const std::string& place,
      const LedgerTurn& turn,
      std::span<const std::byte> tokens,
      bool hidden,
      std::string_view head) {
    RAPID_TRY(const int64_t old, by_place(key, place));
    if (old != 0 && tokens.empty()) {
      return {};  // what was known of it stays
    }
    if (old != 0) {
      RAPID_CHECK(drop(old));
    }
    Statement put(
        db,
        "INSERT INTO turns(turn, calls, text, place, hidden, used, tokens,"
        " head, checksum) VALUES(?,?,?,?,?,?,?,?,?) RETURNING id");
    put.bind(key.turn).bind(key.calls).bind(key.text).bind(place);
    put.bind(int64_t{hidden ? 1 : 0}).bind(++clock).bind(tokens);
    put.bind(head).bind(checksum_of(tokens, head));
    RAPID_TRY(const bool row, put.step());
    const int64_t id = row ? put.integer(0) : 0;
    put.reset();
    bytes += tokens.size();
    Statement link(db, "INSERT INTO calls VALUES(?,?)");
    for (const auto& call : turn.calls) {
      if (!call.id.empty()) {
        RAPID_CHECK(link.bind(call.id).bind(id).run());
      }
    }
    return {};
  }

  Status trim(uint64_t most) {
    while (bytes > most) {
      Statement ask(db, "SELECT id FROM turns ORDER BY used LIMIT 1");
      RAPID_TRY(const int64_t id, newest(ask));
      ask.reset();
      if (id == 0) {
        return {};
      }
      RAPID_CHECK(drop(id));
    }
    return {};
  }
};

TurnLedger::TurnLedger(Options options)
    : options_(std::move(options)), store_(std::make_unique<Store>()) {
  auto file = Store::File::open(options_.path);
  if (file) {
    store_->file = std::move(*file);
  } else {
    failed(file.error());
  }
}

// What waits is written while all of this is still there.
TurnLedger::~TurnLedger() {
  store_->writes.wait();
}

// A file that went bad under us is set aside when it is opened again; one that
// cannot be written, on a full disk, is still read.
void TurnLedger::failed(const Error& error) {
  auto& file = store_->file;
  if (file && error.code != ErrorCode::corrupt) {
    (void)file->db.run("ROLLBACK");
    writable_ = false;
    spdlog::warn("turn ledger: {}; no more turns are recorded", error.what);
    return;
  }
  const bool damaged = file != nullptr;
  file.reset();
  if (damaged) {
    if (auto again = Store::File::open(options_.path)) {
      file = std::move(*again);
      return;
    }
  }
  spdlog::warn(
      "turn ledger off: {}; returning turns are tokenised anew", error.what);
}

TurnLedger::Key TurnLedger::key_of(
    const TurnChain& chain, const LedgerTurn& turn) const {
  const std::string calls = canonical_calls(turn);
  const std::string text = canonical_text(turn);
  const std::string scope = chain.group().empty()
                                ? options_.scope
                                : options_.scope + '\0' + chain.group();
  return {
      hash_of({scope, "turn", text, calls}),
      hash_of({scope, "calls", calls}),
      hash_of({scope, "text", text})};
}

void TurnLedger::record(
    const TurnChain& chain,
    const LedgerTurn& turn,
    std::span<const int32_t> tokens,
    bool hidden,
    std::string_view head) {
  if (tokens.size_bytes() > options_.max_bytes) {
    return;
  }
  store_->writes.push([this,
                       chain,
                       turn,
                       tokens = std::vector(tokens.begin(), tokens.end()),
                       hidden,
                       head = std::string(head)] {
    std::lock_guard lock(mutex_);
    Store::File* file = store_->file.get();
    if (file == nullptr || !writable_) {
      return;
    }
    Status status = file->db.run("BEGIN IMMEDIATE");
    if (status) {
      const auto bytes = std::as_bytes(std::span(tokens));
      status = file->write(
          key_of(chain, turn), chain.hash(), turn, bytes, hidden, head);
      status = status ? file->trim(options_.max_bytes) : status;
      status = status ? file->db.run("COMMIT") : status;
    }
    if (!status) {
      failed(status.error());
    }
  });
}

std::optional<LedgerMatch> TurnLedger::find(
    const TurnChain& chain, const LedgerTurn& turn) {
  store_->writes.wait();
  std::lock_guard lock(mutex_);
  if (!store_->file) {
    return std::nullopt;
  }
  auto found = store_->file->find(key_of(chain, turn), chain.hash(), turn);
  if (!found) {
    failed(found.error());
    return std::nullopt;
  }
  return std::move(*found);
}

void TurnLedger::clear() {
  store_->writes.wait();
  std::lock_guard lock(mutex_);
  Store::File* file = store_->file.get();
  if (file == nullptr) {
    return;
  }
  const Status status =
      file->db.run("DELETE FROM calls; DELETE FROM turns; VACUUM");
  file->bytes = 0;
  if (!status) {
    failed(status.error());
  }
}

LedgerStats TurnLedger::stats() {
  store_->writes.wait();
  std::lock_guard lock(mutex_);
  Store::File* file = store_->file.get();
  LedgerStats out{.disabled = file == nullptr || !writable_};
  if (file != nullptr) {
    Statement ask(
        file->db, "SELECT count(*) FROM turns WHERE length(tokens) > 0");
    const auto row = ask.step();
    out.turns = row && *row ? static_cast<uint64_t>(ask.integer(0)) : 0;
    out.bytes = file->bytes;
  }
  return out;
}

}  // namespace rapid
