#include "cache/disk_tier.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "base/log.h"
#include "hub/file_writer.h"

namespace rapid {

namespace {

// A row, its pages in the log, and their rounding.
constexpr uint64_t kIndexSlack = 64 << 10;

std::string prefix_sum(std::span<const int32_t> tokens, int length) {
  return fmt::format(
      "{:016x}",
      checksum(std::as_bytes(tokens.first(static_cast<size_t>(length)))));
}

SegmentMetadata metadata_of(
    const Segment& segment, std::span<const int32_t> tokens) {
  return {
      {"format", "rapid state 1"},
      {"id", std::to_string(segment.id)},
      {"parent", std::to_string(segment.parent)},
      {"range",
       fmt::format("{} {} {}", segment.start, segment.end, segment.floor)},
      {"tokens", prefix_sum(tokens, segment.end)}};
}

}  // namespace

Result<std::unique_ptr<DiskTier>> DiskTier::open(DiskTierOptions options) {
  RAPID_CHECK(make_folder(options.folder));
  const auto path = options.folder / "lock";
  const int lock = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) {
    return file_error("open", path, errno);
  }
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock);
    return Error{
        ErrorCode::busy,
        fmt::format("{} is in use by another process", options.folder.string()),
        "stop the other one, or give this one another RAPID_MLX_HOME"};
  }
  auto index = DiskIndex::open(options.folder, options.fingerprint);
  if (!index) {
    ::close(lock);
    return index.error();
  }
  std::unique_ptr<DiskTier> tier(
      new DiskTier(std::move(options), std::move(*index), lock));
  if (!tier->make_room(0, 0)) {
    tier->index_.clear();
  }
  tier->writer_ = std::thread([t = tier.get()] { t->write_queued(); });
  return tier;
}

DiskTier::DiskTier(DiskTierOptions options, DiskIndex index, int lock)
    : options_(std::move(options)), lock_(lock), index_(std::move(index)) {}

DiskTier::~DiskTier() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  if (writer_.joinable()) {
    writer_.join();
  }
  ::close(lock_);
}

bool DiskTier::save(
    std::span<const int32_t> tokens, const SnapshotSet& states) {
  Job job;
  const int length = static_cast<int>(tokens.size());
  job.floor = 1;
  for (const auto& state : states) {
    job.floor = std::max(job.floor, state->rewind_floor());
    job.bytes += state->bytes();
  }
  reap();
  {
    std::lock_guard lock(mutex_);
    ++counts_.saves;
    if (index_.usable(tokens, length).length == length) {
      return true;
    }
    if (counts_.disabled ||
        waiting_bytes_ + job.bytes > options_.max_waiting_bytes) {
      ++counts_.skipped;
      return false;
    }
  }
  job.tokens.assign(tokens.begin(), tokens.end());
  for (size_t i = 0; i < states.size(); ++i) {
    for (auto& unit : states[i]->units()) {
      job.units.push_back({static_cast<int>(i), std::move(unit)});
    }
  }
  {
    std::lock_guard lock(mutex_);
    waiting_bytes_ += job.bytes;
    queue_.push_back(std::move(job));
  }
  changed_.notify_all();
  return true;
}

void DiskTier::reap() {
  std::vector<Job> done;
  std::lock_guard lock(mutex_);
  done.swap(done_);
}

void DiskTier::flush() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return queue_.empty() && !writing_; });
}

void DiskTier::write_queued() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) {
      return;
    }
    Job job = std::move(queue_.front());
    queue_.pop_front();
    writing_ = true;
    const bool wanted = !counts_.disabled;
    lock.unlock();
    const Status status = wanted ? write(job) : Status();
    lock.lock();
    if (!status) {
      disable(status.error());
    }
    waiting_bytes_ -= job.bytes;
    done_.push_back(std::move(job));
    writing_ = false;
    changed_.notify_all();
  }
}

// Called with the lock held.
void DiskTier::disable(const Error& error) {
  ++counts_.skipped;
  if (!counts_.disabled) {
    counts_.disabled = true;
    spdlog::warn(
        "disk cache off: {}; nothing more is saved, what is there is still "
        "used",
        error.what);
  }
}

// What the segments on the way to `place` hold of its tokens.
Result<SegmentUnits::Keys> DiskTier::known_units(Place place) {
  SegmentUnits::Keys out;
  for (const Segment* segment : index_.path(place.segment)) {
    const SegmentUnits::Keys* keys = units_.find(segment->id);
    if (keys == nullptr) {
      RAPID_TRY(
          const auto file,
          SegmentFile::open(
              index_.file(segment->id),
              segment->bytes,
              segment->header_checksum));
      keys = &units_.put(segment->id, file.units());
    }
    std::ranges::copy_if(*keys, std::back_inserter(out), [&](const auto& key) {
      return key.end <= place.length;
    });
  }
  std::ranges::sort(out);
  return out;
}

// Called with the lock held. True: `bytes` more fit under the cap.
bool DiskTier::make_room(uint64_t bytes, int64_t spared) {
  const auto fits = [&] {
    return index_.file_bytes() + index_.index_bound() + bytes + kIndexSlack <=
           options_.byte_cap;
  };
  while (!fits()) {
    const auto oldest = index_.oldest_leaf(spared);
    if (!oldest) {
      return false;
    }
    units_.forget(*oldest);
    index_.drop(*oldest);
    ++counts_.evictions;
  }
  return true;
}

// Called with the lock held: where the job's segment hangs, and its units.
DiskTier::Draft DiskTier::draft_of(const Job& job) {
  const std::span<const int32_t> tokens(job.tokens);
  const int length = static_cast<int>(tokens.size());
  Draft draft;
  SegmentUnits::Keys known;
  for (;;) {
    Place place = index_.deepest(tokens);
    // A place to stop at on a way that is known: it tells of one token again.
    place.length = std::min(place.length, length - 1);
    while (place.segment != 0 &&
           index_.get(place.segment)->start >= place.length) {
      place.segment = index_.get(place.segment)->parent;
    }
    draft.segment.parent = place.segment;
    draft.segment.start = place.segment != 0 ? place.length : 0;
    auto found = known_units({draft.segment.start, place.segment});
    if (found) {
      known = std::move(*found);
      break;
    }
    ++counts_.damaged;
    index_.drop(place.segment);
    units_.clear();
  }
  for (const auto& unit : job.units) {
    if (!std::ranges::binary_search(known, units_.key_of(unit))) {
      draft.units.push_back(unit);
    }
  }
  draft.segment.id = index_.next_id();
  draft.segment.end = length;
  draft.segment.floor = job.floor;
  draft.segment.tokens.assign(
      job.tokens.begin() + draft.segment.start, job.tokens.end());
  return draft;
}

// Errors: the disk takes no more. What does not fit under the cap is skipped.
Status DiskTier::write(const Job& job) {
  const int length = static_cast<int>(job.tokens.size());
  std::unique_lock lock(mutex_);
  if (index_.usable(job.tokens, length).length == length) {
    return {};
  }
  Draft draft = draft_of(job);
  Segment& segment = draft.segment;
  lock.unlock();
  const SegmentPlan plan =
      plan_segment(draft.units, metadata_of(segment, job.tokens));
  segment.bytes = plan.bytes;
  segment.header_checksum = plan.header_checksum();
  lock.lock();
  // A reader may have found the parent damaged meanwhile.
  const auto orphaned = [&] {
    return segment.parent != 0 && index_.get(segment.parent) == nullptr;
  };
  const uint64_t row = segment.tokens.size() * sizeof(int32_t) * 3;
  if (orphaned() || !make_room(plan.bytes + row, segment.parent)) {
    ++counts_.skipped;
    return {};
  }
  reserved_bytes_ = plan.bytes;
  lock.unlock();
  const auto target = index_.file(segment.id);
  const Status written = write_segment(plan, index_.temporary(), target);
  lock.lock();
  reserved_bytes_ = 0;
  std::error_code ignored;
  if (!written || orphaned()) {
    std::filesystem::remove(index_.temporary(), ignored);
    std::filesystem::remove(target, ignored);
    return written;
  }
  counts_.written_bytes += plan.bytes;
  for (const auto& [layer, unit] : draft.units) {
    counts_.unique_bytes +=
        unit.first >= segment.start || unit.first == 0 ? unit.bytes.size() : 0;
  }
  const Status added = index_.add(segment);
  if (added) {
    units_.put(segment.id, draft.units);
  } else {
    std::filesystem::remove(target, ignored);
  }
  return added;
}

DiskTier::Place DiskTier::find(std::span<const int32_t> tokens, size_t limit) {
  std::lock_guard lock(mutex_);
  return index_.usable(
      tokens, static_cast<int>(std::min(limit, tokens.size())));
}

Status DiskTier::read(
    std::span<const int32_t> tokens,
    Place place,
    const std::vector<Segment>& path,
    Builders& builders,
    int64_t& damaged) {
  std::vector<SegmentFile> files;
  std::vector<int32_t> way;  // the tokens that the path tells of
  // Of what tells of the same, the last one on the way counts.
  struct Source {
    size_t file = 0;
    size_t unit = 0;
  };
  std::map<std::tuple<int, std::string, int>, Source> chosen;
  for (size_t i = 0; i < path.size(); ++i) {
    damaged = path[i].id;
    RAPID_TRY(
        auto file,
        SegmentFile::open(
            index_.file(path[i].id), path[i].bytes, path[i].header_checksum));
    way.resize(static_cast<size_t>(path[i].start));
    way.insert(way.end(), path[i].tokens.begin(), path[i].tokens.end());
    if (file.metadata() != metadata_of(path[i], way)) {
      return Error{ErrorCode::corrupt, "a segment and its index disagree"};
    }
    const bool last = i + 1 == path.size();
    for (size_t u = 0; u < file.units().size(); ++u) {
      const auto& [layer, unit] = file.units()[u];
      if (last ? unit.first < place.length : unit.end <= path[i + 1].start) {
        chosen[{layer, unit.name, unit.first}] = {i, u};
      }
    }
    files.push_back(std::move(file));
  }
  const auto wanted = tokens.first(static_cast<size_t>(place.length));
  if (way.size() < wanted.size() ||
      !std::equal(wanted.begin(), wanted.end(), way.begin())) {
    return Error{ErrorCode::corrupt, "a segment is of other tokens"};
  }
  std::vector<std::vector<size_t>> used(files.size());
  for (const auto& [key, source] : chosen) {
    used[source.file].push_back(source.unit);
  }
  for (size_t i = 0; i < files.size(); ++i) {
    damaged = path[i].id;
    RAPID_CHECK(files[i].verify(used[i]));
  }
  damaged = path.back().id;
  for (const auto& [key, source] : chosen) {
    const auto& [layer, unit] = files[source.file].units()[source.unit];
    if (static_cast<size_t>(layer) >= builders.size()) {
      return Error{ErrorCode::corrupt, "a segment has a layer too many"};
    }
    RAPID_CHECK(builders[static_cast<size_t>(layer)]->add(unit));
  }
  return {};
}

Result<SnapshotSet> DiskTier::load(
    std::span<const int32_t> tokens, Place place, Builders builders) {
  std::vector<Segment> path;
  {
    std::lock_guard lock(mutex_);
    for (const Segment* segment : index_.path(place.segment)) {
      path.push_back(*segment);
    }
  }
  if (path.empty() || place.length <= 0) {
    return Error{ErrorCode::not_found, "the state is not on disk any more"};
  }
  int64_t damaged = path.back().id;
  Status status = read(tokens, place, path, builders, damaged);
  SnapshotSet states;
  for (size_t i = 0; status && i < builders.size(); ++i) {
    auto state = builders[i]->finish(place.length);
    if (state) {
      states.push_back(std::move(*state));
    } else {
      status = state.error();
    }
  }
  std::lock_guard lock(mutex_);
  if (status) {
    index_.touch(place.segment);
    return states;
  }
  if (index_.get(path.back().id) == nullptr) {
    return Error{ErrorCode::not_found, "the state is not on disk any more"};
  }
  spdlog::warn("disk cache: {}; dropped", status.error().what);
  ++counts_.damaged;
  index_.drop(damaged);
  units_.clear();
  return status.error();
}

std::vector<std::vector<int32_t>> DiskTier::recent(size_t most) {
  std::lock_guard lock(mutex_);
  std::vector<std::vector<int32_t>> out;
  for (const int64_t leaf : index_.recent_leaves(most)) {
    std::vector<int32_t> tokens;
    for (const Segment* s : index_.path(leaf)) {
      tokens.resize(static_cast<size_t>(s->start));
      tokens.insert(tokens.end(), s->tokens.begin(), s->tokens.end());
    }
    out.push_back(std::move(tokens));
  }
  return out;
}

Status DiskTier::clear() {
  flush();
  std::lock_guard lock(mutex_);
  index_.clear();
  units_.clear();
  return {};
}

DiskTierStats DiskTier::stats() {
  std::lock_guard lock(mutex_);
  DiskTierStats out = counts_;
  out.bytes = index_.file_bytes() + index_.index_bytes() + reserved_bytes_;
  out.segments = index_.size();
  return out;
}

}  // namespace rapid
