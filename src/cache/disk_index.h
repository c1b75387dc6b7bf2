// DiskIndex: which segments are on disk, as a tree. A segment tells of the
// tokens [start, end) behind its parent's first `start` tokens; a state is put
// together from the units of all segments on the way to it.
//
// Kept in memory and in SQLite, row by row: a row is written only after its
// file is whole, and goes before its file does. After a crash, files without a
// row and rows without a file go.
//
// Threads: none; DiskTier holds its lock.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/database.h"

namespace rapid {

struct Segment {
  int64_t id = 0;
  int64_t parent = 0;  // 0: none
  int start = 0;
  int end = 0;
  int floor = 0;                // the state at `end` rewinds to here
  std::vector<int32_t> tokens;  // [start, end)
  uint64_t bytes = 0;           // of the file
  uint64_t header_checksum = 0;
  int64_t used = 0;
  std::vector<int64_t> children;
};

class DiskIndex {
 public:
  // What a folder holds for another fingerprint goes. Errors: io.
  static Result<DiskIndex> open(
      const std::filesystem::path& folder, const std::string& fingerprint);

  struct Place {
    int length = 0;
    int64_t segment = 0;
  };
  // The longest state of at most `limit` of the tokens.
  Place usable(std::span<const int32_t> tokens, int limit) const;
  // The longest known prefix of the tokens, whether usable or not.
  Place deepest(std::span<const int32_t> tokens) const;

  // From the first segment to this one.
  std::vector<const Segment*> path(int64_t id) const;
  const Segment* get(int64_t id) const;
  std::filesystem::path file(int64_t id) const;
  std::filesystem::path temporary() const;

  int64_t next_id() const { return next_id_; }
  // The file is there already. Errors: `corrupt`, `io`: nothing was added.
  Status add(Segment segment);
  void touch(int64_t id);  // and all on the way to it
  // The segment, all that hang on it, and their files.
  void drop(int64_t id);
  void clear();
  // The leaf whose last use is longest ago, and not on the way to `spared`.
  std::optional<int64_t> oldest_leaf(int64_t spared) const;

  std::vector<int64_t> recent_leaves(size_t most) const;  // latest first

  uint64_t file_bytes() const { return bytes_; }
  uint64_t index_bytes() const;  // of the database, as it is on disk
  // What the database may take without another row: touching a segment grows
  // its log, and applying the log its file, at any time.
  uint64_t index_bound() const;
  size_t size() const { return segments_.size(); }

 private:
  uint64_t database_bytes(const char* suffix) const;
  DiskIndex(std::filesystem::path folder, Database db)
      : folder_(std::move(folder)),
        db_(std::make_unique<Database>(std::move(db))) {}

  Status load(const std::string& fingerprint);
  void remove_strays();
  void erase_row(int64_t id);
  struct Search;
  void search(const std::vector<int64_t>& from, int known, Search& out) const;

  std::filesystem::path folder_;
  std::unique_ptr<Database> db_;
  std::map<int64_t, Segment> segments_;
  std::vector<int64_t> roots_;
  uint64_t bytes_ = 0;
  int64_t next_id_ = 1;
  int64_t clock_ = 0;
};

}  // namespace rapid
