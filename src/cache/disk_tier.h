// DiskTier: states that outlive the process. Each save writes one segment
// (segment_file.h) with the units that are not on disk yet, so a prefix that
// several states share is written once: a save costs the new tokens' bytes and
// at most one partly filled page per layer again.
//
// Safe at any point: a segment appears by rename and is indexed after that
// (disk_index.h), so a killed process loses at most what it was writing.
// Every byte is checked before it is used; a damaged segment is dropped, with
// what hangs on it, and never served. What another model or engine wrote (the
// fingerprint) goes when the folder is opened.
// byte_cap is hard: the folder never holds more, a file being written and the
// index included; the segments used longest ago, leaves first, make room.
// When nothing can be written, on a full disk, one warning is logged, no more
// is saved, and what is there is still served.
//
// Threads: one of its own writes. save(), load() and reap() belong to the
// engine thread, which must also be the one that drops units (snapshot.h);
// the others are for any thread. One process at a time has a folder.
//
//   RAPID_TRY(auto disk, DiskTier::open({folder, fingerprint, cap}));
//   disk->save(tokens, states);                      // returns at once
//   if (auto place = disk->find(prompt, limit); place.length > 0)
//     auto states = disk->load(prompt, place, std::move(builders));
//   disk->reap();                                    // now and then
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "cache/disk_index.h"
#include "cache/segment_file.h"
#include "cache/segment_units.h"
#include "state/snapshot.h"

namespace rapid {

struct DiskTierOptions {
  std::filesystem::path folder;
  // Everything that a state's bytes depend on: model file, engine version,
  // exactness, kinds of the layers.
  std::string fingerprint;
  uint64_t byte_cap = 0;
  // States that wait to be written stay in memory: a save beyond this is
  // skipped.
  uint64_t max_waiting_bytes = uint64_t{1} << 30;
};

struct DiskTierStats {
  uint64_t bytes = 0;  // in the folder
  uint64_t segments = 0;
  uint64_t written_bytes = 0;
  uint64_t unique_bytes = 0;  // of those, of tokens not told of before
  uint64_t saves = 0;
  uint64_t skipped = 0;  // saves: no room, too many waiting, disabled
  uint64_t evictions = 0;
  uint64_t damaged = 0;  // segments found so, and dropped
  bool disabled = false;
};

class DiskTier {
 public:
  using Builders = std::vector<std::unique_ptr<SnapshotBuilder>>;
  using Place = DiskIndex::Place;

  // Errors: busy (another process has the folder), io.
  static Result<std::unique_ptr<DiskTier>> open(DiskTierOptions options);
  ~DiskTier();  // writes what waits
  DiskTier(const DiskTier&) = delete;
  DiskTier& operator=(const DiskTier&) = delete;

  // Queues the state behind `tokens`; false: skipped.
  bool save(std::span<const int32_t> tokens, const SnapshotSet& states);
  // The longest state of at most `limit` of the tokens.
  Place find(std::span<const int32_t> tokens, size_t limit);
  // Reads it: a builder per layer. `corrupt` or `io`: it is gone now, find()
  // again; `not_found`: it was evicted since.
  Result<SnapshotSet> load(
      std::span<const int32_t> tokens, Place place, Builders builders);
  // The tokens of the states used last, latest first: what to load at start,
  // before anyone waits for it.
  std::vector<std::vector<int32_t>> recent(size_t most);
  void reap();   // lets go of what has been written
  void flush();  // waits until everything queued is on disk
  Status clear();

  DiskTierStats stats();

 private:
  struct Job {
    std::vector<int32_t> tokens;
    int floor = 0;
    std::vector<LayerUnit> units;
    uint64_t bytes = 0;
  };
  // What a job puts on disk.
  struct Draft {
    Segment segment;
    std::vector<LayerUnit> units;
  };
  DiskTier(DiskTierOptions options, DiskIndex index, int lock);
  void write_queued();
  Draft draft_of(const Job& job);
  Status write(const Job& job);
  Result<SegmentUnits::Keys> known_units(Place place);
  bool make_room(uint64_t bytes, int64_t spared);
  Status read(
      std::span<const int32_t> tokens,
      Place place,
      const std::vector<Segment>& path,
      Builders& builders,
      int64_t& damaged);
  void disable(const Error& error);

  DiskTierOptions options_;
  int lock_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  DiskIndex index_;
  SegmentUnits units_;
  std::deque<Job> queue_;
  std::vector<Job> done_;  // for the engine thread to drop
  bool writing_ = false;
  bool closing_ = false;
  uint64_t waiting_bytes_ = 0;
  uint64_t reserved_bytes_ = 0;  // of the file being written
  DiskTierStats counts_;
  std::thread writer_;
};

}  // namespace rapid
