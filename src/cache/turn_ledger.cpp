#include "cache/turn_ledger.h"

#include <cstring>

#include "base/log.h"
#include "cache/database.h"
#include "cache/turn_hash.h"
#include "hub/file_writer.h"

namespace rapid {

namespace {

constexpr int kVersion = 1;
constexpr const char* kSchema =
    "CREATE TABLE turns(id INTEGER PRIMARY KEY, turn TEXT, calls TEXT,"
    " text TEXT, place TEXT, hidden INTEGER, used INTEGER, tokens BLOB,"
    " checksum TEXT);"
    "CREATE INDEX turns_by_turn ON turns(turn, place);"
    "CREATE INDEX turns_by_use ON turns(used);"
    "CREATE TABLE calls(call TEXT, turn INTEGER);"
    "CREATE INDEX calls_by_call ON calls(call);"
    "CREATE INDEX calls_by_turn ON calls(turn)";

std::string checksum_of(std::span<const std::byte> bytes) {
  Sha256 hash;
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
  Database db;
  uint64_t bytes = 0;
  int64_t clock = 0;

  static Result<std::unique_ptr<Store>> open(
      const std::filesystem::path& path) {
    RAPID_CHECK(make_folder(path.parent_path()));
    RAPID_TRY(auto db, Database::open(path, kSchema, kVersion));
    auto store = std::make_unique<Store>(Store{std::move(db)});
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
  Result<std::optional<std::vector<int32_t>>> read(int64_t id) {
    Statement ask(db, "SELECT tokens, checksum FROM turns WHERE id=?");
    RAPID_TRY(const bool row, ask.bind(id).step());
    if (!row) {
      return std::optional<std::vector<int32_t>>();
    }
    const auto blob = ask.blob(0);
    if (checksum_of(blob) != ask.text(1) || blob.size() % 4 != 0) {
      ask.reset();
      spdlog::warn("turn ledger: turn {} is damaged and dropped", id);
      RAPID_CHECK(drop(id));
      return std::optional<std::vector<int32_t>>();
    }
    std::vector<int32_t> tokens(blob.size() / sizeof(int32_t));
    std::memcpy(tokens.data(), blob.data(), blob.size());
    ask.reset();
    // On a full disk turns are still found.
    Statement use(db, "UPDATE turns SET used=? WHERE id=?");
    (void)use.bind(++clock).bind(id).run();
    return std::optional(std::move(tokens));
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
        " ORDER BY used DESC");
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
      RAPID_TRY(auto tokens, read(id));
      if (tokens) {
        return std::optional(LedgerMatch{std::move(*tokens), by});
      }
    }
    return std::optional<LedgerMatch>();
  }

  Status write(
      const Key& key,
      const std::string& place,
      const LedgerTurn& turn,
      std::span<const std::byte> tokens,
      bool hidden) {
    RAPID_TRY(const int64_t old, by_place(key, place));
    if (old != 0) {
      RAPID_CHECK(drop(old));
    }
    Statement put(
        db,
        "INSERT INTO turns(turn, calls, text, place, hidden, used, tokens,"
        " checksum) VALUES(?,?,?,?,?,?,?,?) RETURNING id");
    put.bind(key.turn).bind(key.calls).bind(key.text).bind(place);
    put.bind(int64_t{hidden ? 1 : 0}).bind(++clock).bind(tokens);
    RAPID_TRY(const bool row, put.bind(checksum_of(tokens)).step());
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

TurnLedger::TurnLedger(Options options) : options_(std::move(options)) {
  auto store = Store::open(options_.path);
  if (store) {
    store_ = std::move(*store);
  } else {
    failed(store.error());
  }
}

TurnLedger::~TurnLedger() = default;

// A file that went bad under us is set aside when it is opened again; one that
// cannot be written, on a full disk, is still read.
void TurnLedger::failed(const Error& error) {
  if (store_ && error.code != ErrorCode::corrupt) {
    (void)store_->db.run("ROLLBACK");
    writable_ = false;
    spdlog::warn("turn ledger: {}; no more turns are recorded", error.what);
    return;
  }
  const bool damaged = store_ != nullptr;
  store_.reset();
  if (damaged) {
    if (auto store = Store::open(options_.path)) {
      store_ = std::move(*store);
      return;
    }
  }
  spdlog::warn(
      "turn ledger off: {}; returning turns are tokenised anew", error.what);
}

TurnLedger::Key TurnLedger::key_of(const LedgerTurn& turn) const {
  const std::string calls = canonical_calls(turn);
  const std::string text = canonical_text(turn);
  const std::string& scope = options_.scope;
  return {
      hash_of({scope, "turn", text, calls}),
      hash_of({scope, "calls", calls}),
      hash_of({scope, "text", text})};
}

void TurnLedger::record(
    const TurnChain& chain,
    const LedgerTurn& turn,
    std::span<const int32_t> tokens,
    bool hidden) {
  std::lock_guard lock(mutex_);
  const auto bytes = std::as_bytes(tokens);
  if (!store_ || !writable_ || tokens.empty() ||
      bytes.size() > options_.max_bytes) {
    return;
  }
  Status status = store_->db.run("BEGIN IMMEDIATE");
  if (status) {
    status = store_->write(key_of(turn), chain.hash(), turn, bytes, hidden);
    status = status ? store_->trim(options_.max_bytes) : status;
    status = status ? store_->db.run("COMMIT") : status;
  }
  if (!status) {
    failed(status.error());
  }
}

std::optional<LedgerMatch> TurnLedger::find(
    const TurnChain& chain, const LedgerTurn& turn) {
  std::lock_guard lock(mutex_);
  if (!store_) {
    return std::nullopt;
  }
  auto found = store_->find(key_of(turn), chain.hash(), turn);
  if (!found) {
    failed(found.error());
    return std::nullopt;
  }
  return std::move(*found);
}

void TurnLedger::clear() {
  std::lock_guard lock(mutex_);
  if (!store_) {
    return;
  }
  const Status status =
      store_->db.run("DELETE FROM calls; DELETE FROM turns; VACUUM");
  store_->bytes = 0;
  if (!status) {
    failed(status.error());
  }
}

LedgerStats TurnLedger::stats() {
  std::lock_guard lock(mutex_);
  LedgerStats out{.disabled = !store_ || !writable_};
  if (store_) {
    Statement ask(store_->db, "SELECT count(*) FROM turns");
    const auto row = ask.step();
    out.turns = row && *row ? static_cast<uint64_t>(ask.integer(0)) : 0;
    out.bytes = store_->bytes;
  }
  return out;
}

}  // namespace rapid
