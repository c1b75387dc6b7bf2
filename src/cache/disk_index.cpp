#include "cache/disk_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/log.h"

namespace rapid {

namespace fs = std::filesystem;

namespace {

constexpr int kVersion = 1;
constexpr const char* kSchema =
    "CREATE TABLE about(fingerprint TEXT);"
    "CREATE TABLE segments(id INTEGER PRIMARY KEY, parent INTEGER,"
    " start INTEGER, stop INTEGER, floor INTEGER, tokens BLOB, bytes INTEGER,"
    " header INTEGER, used INTEGER)";
constexpr const char* kSuffix = ".safetensors";

}  // namespace

Result<DiskIndex> DiskIndex::open(
    const fs::path& folder, const std::string& fingerprint) {
  RAPID_TRY(
      auto db, Database::open(folder / "index.sqlite", kSchema, kVersion));
  DiskIndex index(folder, std::move(db));
  RAPID_CHECK(index.load(fingerprint));
  index.remove_strays();
  return index;
}

Status DiskIndex::load(const std::string& fingerprint) {
  std::string known;
  {
    Statement ask(*db_, "SELECT fingerprint FROM about");
    RAPID_TRY(const bool row, ask.step());
    known = row ? ask.text(0) : "";
  }
  if (known != fingerprint) {
    RAPID_CHECK(db_->run("DELETE FROM segments; DELETE FROM about"));
    Statement put(*db_, "INSERT INTO about VALUES(?)");
    RAPID_CHECK(put.bind(fingerprint).run());
  }
  Statement rows(
      *db_,
      "SELECT id, parent, start, stop, floor, tokens, bytes, header, used"
      " FROM segments ORDER BY id");
  std::vector<int64_t> bad;
  for (;;) {
    RAPID_TRY(const bool row, rows.step());
    if (!row) {
      break;
    }
    Segment s{rows.integer(0), rows.integer(1)};
    s.start = static_cast<int>(rows.integer(2));
    s.end = static_cast<int>(rows.integer(3));
    s.floor = static_cast<int>(rows.integer(4));
    const auto blob = rows.blob(5);
    s.tokens.resize(blob.size() / sizeof(int32_t));
    if (!blob.empty()) {
      std::memcpy(
          s.tokens.data(), blob.data(), s.tokens.size() * sizeof(int32_t));
    }
    s.bytes = static_cast<uint64_t>(rows.integer(6));
    s.header_checksum = static_cast<uint64_t>(rows.integer(7));
    s.used = rows.integer(8);
    next_id_ = std::max(next_id_, s.id + 1);
    clock_ = std::max(clock_, s.used);
    // A child has a larger id than its parent.
    const auto parent = segments_.find(s.parent);
    const bool hangs = s.parent == 0 ? s.start == 0
                                     : parent != segments_.end() &&
                                           s.start > parent->second.start &&
                                           s.start <= parent->second.end;
    std::error_code failed;
    const auto size = fs::file_size(file(s.id), failed);
    if (!hangs || failed || size != s.bytes || s.end <= s.start ||
        s.tokens.size() != static_cast<size_t>(s.end - s.start)) {
      bad.push_back(s.id);
      continue;
    }
    (s.parent == 0 ? roots_ : parent->second.children).push_back(s.id);
    bytes_ += s.bytes;
    segments_.emplace(s.id, std::move(s));
  }
  rows.reset();
  for (const int64_t id : bad) {
    erase_row(id);
  }
  return {};
}

void DiskIndex::remove_strays() {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool ours =
        name.starts_with("segment-") || name == temporary().filename();
    const bool known =
        std::any_of(segments_.begin(), segments_.end(), [&](const auto& s) {
          return name == file(s.first).filename();
        });
    if (ours && !known) {
      fs::remove(entry.path(), ignored);
    }
  }
}

fs::path DiskIndex::file(int64_t id) const {
  return folder_ / fmt::format("segment-{}{}", id, kSuffix);
}

fs::path DiskIndex::temporary() const {
  return folder_ / "writing.tmp";
}

struct DiskIndex::Search {
  std::span<const int32_t> tokens;
  int limit = 0;
  Place usable;
  Place deepest;
};

void DiskIndex::search(
    const std::vector<int64_t>& from, int known, Search& out) const {
  for (const int64_t id : from) {
    const Segment& s = segments_.at(id);
    int common = known;
    if (s.start <= known) {
      const auto rest = out.tokens.subspan(static_cast<size_t>(s.start));
      const auto differs = std::mismatch(
          s.tokens.begin(), s.tokens.end(), rest.begin(), rest.end());
      common = s.start + static_cast<int>(differs.first - s.tokens.begin());
    }
    if (common > s.start && common > out.deepest.length) {
      out.deepest = {common, id};
    }
    // Tokens that leave the way before the segment begins may still find its
    // state rewind to there.
    const int length = std::min(common, out.limit);
    if (length > out.usable.length && length >= s.floor) {
      out.usable = {length, id};
    }
    search(s.children, common, out);
  }
}

DiskIndex::Place DiskIndex::usable(
    std::span<const int32_t> tokens, int limit) const {
  Search out{tokens, limit, {}, {}};
  search(roots_, 0, out);
  return out.usable;
}

DiskIndex::Place DiskIndex::deepest(std::span<const int32_t> tokens) const {
  Search out{tokens, 0, {}, {}};
  search(roots_, 0, out);
  return out.deepest;
}

const Segment* DiskIndex::get(int64_t id) const {
  const auto found = segments_.find(id);
  return found == segments_.end() ? nullptr : &found->second;
}

std::vector<const Segment*> DiskIndex::path(int64_t id) const {
  std::vector<const Segment*> out;
  for (const Segment* s = get(id); s != nullptr; s = get(s->parent)) {
    out.push_back(s);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

Status DiskIndex::add(Segment s) {
  s.used = ++clock_;
  Statement put(*db_, "INSERT INTO segments VALUES(?,?,?,?,?,?,?,?,?)");
  put.bind(s.id).bind(s.parent).bind(int64_t{s.start}).bind(int64_t{s.end});
  put.bind(int64_t{s.floor}).bind(std::as_bytes(std::span(s.tokens)));
  put.bind(static_cast<int64_t>(s.bytes));
  put.bind(static_cast<int64_t>(s.header_checksum)).bind(s.used);
  RAPID_CHECK(put.run());
  next_id_ = std::max(next_id_, s.id + 1);
  bytes_ += s.bytes;
  (s.parent == 0 ? roots_ : segments_.at(s.parent).children).push_back(s.id);
  segments_.emplace(s.id, std::move(s));
  return {};
}

// A use that is not written down only costs a worse choice after a restart.
void DiskIndex::touch(int64_t id) {
  ++clock_;
  (void)db_->run("BEGIN");
  Statement put(*db_, "UPDATE segments SET used=? WHERE id=?");
  for (Segment* s = const_cast<Segment*>(get(id)); s != nullptr;
       s = const_cast<Segment*>(get(s->parent))) {
    s->used = clock_;
    (void)put.bind(s->used).bind(s->id).run();
  }
  (void)db_->run("COMMIT");
}

void DiskIndex::erase_row(int64_t id) {
  Statement row(*db_, "DELETE FROM segments WHERE id=?");
  if (const auto status = row.bind(id).run(); !status) {
    // The row names a file that is gone, so the next start drops it.
    spdlog::debug("disk cache: {}", status.error().what);
  }
}

void DiskIndex::drop(int64_t id) {
  const auto found = segments_.find(id);
  if (found == segments_.end()) {
    return;
  }
  const auto children = found->second.children;
  for (const int64_t child : children) {
    drop(child);
  }
  const int64_t parent = found->second.parent;
  std::erase(parent == 0 ? roots_ : segments_.at(parent).children, id);
  bytes_ -= found->second.bytes;
  segments_.erase(id);
  erase_row(id);
  std::error_code ignored;
  fs::remove(file(id), ignored);
}

void DiskIndex::clear() {
  while (!roots_.empty()) {
    drop(roots_.back());
  }
}

std::optional<int64_t> DiskIndex::oldest_leaf(int64_t spared) const {
  std::set<int64_t> kept;
  for (const Segment* s : path(spared)) {
    kept.insert(s->id);
  }
  std::optional<int64_t> oldest;
  for (const auto& [id, s] : segments_) {
    if (s.children.empty() && !kept.contains(id) &&
        (!oldest || s.used < segments_.at(*oldest).used)) {
      oldest = id;
    }
  }
  return oldest;
}

std::vector<int64_t> DiskIndex::recent_leaves(size_t most) const {
  std::vector<int64_t> out;
  for (const auto& [id, s] : segments_) {
    if (s.children.empty()) {
      out.push_back(id);
    }
  }
  std::sort(out.begin(), out.end(), [&](int64_t a, int64_t b) {
    return segments_.at(a).used > segments_.at(b).used;
  });
  out.resize(std::min(out.size(), most));
  return out;
}

uint64_t DiskIndex::index_bytes() const {
  return database_bytes("") + database_bytes("-wal") + database_bytes("-shm");
}

uint64_t DiskIndex::index_bound() const {
  return std::max(database_bytes(""), db_->page_bytes()) +
         std::max(database_bytes("-wal"), Database::kLogBytes) +
         database_bytes("-shm") + database_bytes(".damaged");
}

uint64_t DiskIndex::database_bytes(const char* suffix) const {
  std::error_code failed;
  const auto size =
      fs::file_size((folder_ / "index.sqlite").string() + suffix, failed);
  return failed ? 0 : size;
}

}  // namespace rapid
