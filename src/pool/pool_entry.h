// What a ModelPool knows of each model and each request. All but a request's
// own mutex's part is under the pool's lock. A request's mutex may be held
// when the pool's is taken, never the other way round.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <thread>

#include "pool/model_pool.h"

namespace rapid {

struct PoolRequest {
  Ticket ticket = 0;
  double since = 0;
  chat::Request asked;   // of one that had to wait
  bool counted = false;  // in the entry's uses; pool's lock

  std::mutex mutex;  // of what follows; held while the sink is called
  ChatSink sink;
  Backend* backend = nullptr;  // it was given to; there while it is counted
  std::optional<Ticket> inner;
  bool over = false;       // the sink is called no more
  bool cancelled = false;  // before its inner ticket was known
};

struct PoolEntry {
  using Phase = Seat::Phase;

  ModelNames names;
  bool extra = false;  // came by a request, not at the start
  bool pinned = false;
  double ttl = 0;

  // What it was when it was last in memory.
  ModelCard card;
  bool known = false;
  uint64_t weights = 0;  // bytes of files; 0 = unknown
  uint64_t text = 0;     // bytes that its text took in the front
  // A load within less said that it was too little, and why.
  uint64_t at_least = 0;
  std::optional<Error> too_little;
  uint64_t loads = 0;
  EngineStats past;  // counters of engines that are gone
  FrontStats past_front;

  Phase phase = Phase::out;
  bool fetched = false;  // its path is known and there
  uint64_t share = 0;
  uint64_t most = 0;                 // of a share, when it was last cut
  std::shared_ptr<Backend> backend;  // Phase::in
  int uses = 0;                      // of `backend`
  int leases = 0;                    // of them, short ones
  double last_used = 0;
  double loading_since = 0;
  std::string doing;
  std::optional<Error> failure;  // of the last load
  double failed_at = 0;

  bool must = false;     // to be loaded without anybody asking
  bool if_fits = false;  // the same, if there is room
  bool draining = false;
  bool unload = false;
  bool forget = false;  // its cache
  double wanted_since = 0;
  std::map<Ticket, std::shared_ptr<PoolRequest>> open;  // waiting ones, too
  std::deque<std::shared_ptr<PoolRequest>> waiting;
  std::string told;  // to those that wait
  std::vector<Backends::LoadDone> load_waiters;
  std::vector<Backends::LoadDone> unload_waiters;

  std::thread job;
  bool job_done = true;

  bool working() const { return job.joinable(); }
  bool wanted() const {
    return must || !waiting.empty() || !load_waiters.empty();
  }
  // It came by a request and never got into memory; who looks for the reason
  // in the list has had the time.
  bool gone(double failed_before) const {
    return extra && !known && failure && failed_at <= failed_before &&
           !wanted() && phase == Phase::out && open.empty();
  }
  bool takes_requests() const {
    return phase == Phase::in && !draining && !unload;
  }
  const std::string& id() const {
    return names.alias.empty() ? names.name : names.alias;
  }
};

// Keeps a backend in memory while it is used.
class ModelPool::Lease {
 public:
  Lease(const ModelPool& pool, Entry entry)
      : pool_(pool), entry_(std::move(entry)), backend_(*entry_->backend) {
    ++entry_->uses;
    ++entry_->leases;
  }
  ~Lease() {
    std::lock_guard lock(pool_.mutex_);
    --entry_->leases;
    --entry_->uses;
    pool_.news_ = pool_.news_ || entry_->uses == 0;
    pool_.changed_.notify_all();
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Backend& operator*() const { return backend_; }
  Backend* operator->() const { return &backend_; }

 private:
  const ModelPool& pool_;
  Entry entry_;
  Backend& backend_;
};

// What routes hold of a model: a handle that outlives its loads.
class PoolBackend final : public Backend {
 public:
  PoolBackend(std::shared_ptr<ModelPool> pool, std::shared_ptr<PoolEntry> entry)
      : pool_(std::move(pool)), entry_(std::move(entry)) {}

  ModelCard card() const override;
  Result<Ticket> submit(const chat::Request& request, ChatSink sink) override;
  void cancel(Ticket ticket) override;
  Result<std::vector<std::vector<int32_t>>> tokenise(
      const chat::Request& request) const override;
  std::shared_ptr<const TextCodec> codec() const override;
  EngineStats stats() const override;
  FrontStats front_stats() const override;
  std::optional<chat::CacheReport> explain(
      const std::string& id) const override;
  LedgerStats ledger_stats() const override;
  void clear_cache() override;

 private:
  std::shared_ptr<ModelPool> pool_;
  std::shared_ptr<PoolEntry> entry_;
};

}  // namespace rapid
