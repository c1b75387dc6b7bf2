// ModelPool: the models that a server serves, and which of them are in memory.
//
//   auto pool = ModelPool::start(provider, {{.name = "a"}, {.name = "b"}}, {});
//   context->set_models(pool);
//   ...
//   pool->stop();
//
// - Each model has its own Front and engine process (what ModelProvider makes).
//   The first is loaded at once, pinned ones too; the others at the start if
//   they fit beside them, else when the first request for them comes.
// - A request for a model that is not in memory waits for it; its sink hears
//   Progress with waiting_for. It is refused (busy) when `most_waiting` wait
//   already, and fails after `most_wait_seconds`. Loads of one model are one.
// - One limit for all: memory_share.h. The longest wait gets room first. Idle
//   models give way at once; busy ones only when a load has waited
//   `drain_seconds`: then their new requests wait, too, until they were away.
//   A pinned model never goes, save by unload().
// - A load that fails tells its reason to all who wait for it and to
//   listings. Requests of the next `retry_seconds` hear the same; later ones
//   try again. A model that was not named at the start, and never got into
//   memory, leaves the list after `failure_seconds`, so that who did not wait
//   for its load can read why.
// - Idle for `idle_ttl` seconds a model is unloaded; counters go on.
//
// Threads: any thread may call; one of its own decides, loads and unloads
// have one each while they last. A backend that find() gave stays usable for
// ever; behind stop() it refuses.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "api/backends.h"
#include "pool/memory_share.h"
#include "pool/model_provider.h"

namespace rapid {

struct PoolSettings {
  uint64_t memory_limit = 0;  // over everything; must be set
  uint64_t front_growth = 0;  // what the front may come to hold beside
  double idle_ttl = 0;        // 0 = never
  bool fixed = false;         // its one model stays, and no other comes
  size_t most_waiting = 256;  // requests for one model that is not there
  double most_wait_seconds = 600;
  double drain_seconds = 2;
  double retry_seconds = 5;
  double failure_seconds = 30;
  // Of calls that need a model's text and cannot be kept (tokenise).
  double block_seconds = 20;
};

struct ServedModel {
  std::string name;
  std::string alias;
  bool pinned = false;
  std::vector<std::string> adapters;  // that it will have
};

struct PoolEntry;
struct PoolRequest;

class ModelPool : public Backends,
                  public std::enable_shared_from_this<ModelPool> {
 public:
  // `models`: at least one.
  static std::shared_ptr<ModelPool> start(
      std::shared_ptr<ModelProvider> provider,
      const std::vector<ServedModel>& models,
      PoolSettings settings);
  ~ModelPool() override;

  // Ends everything: what is open fails. A load under way is waited for.
  void stop();
  // Is one being fetched or loaded?
  bool loading() const;

  std::vector<ModelStatus> list() const override;
  std::vector<std::string> names() const override;
  std::shared_ptr<Backend> find(std::string_view model) const override;
  std::optional<ModelStatus> status(std::string_view model) const override;
  Status load(const LoadWish& wish, LoadDone done) override;
  Status unload(std::string_view model, LoadDone done) override;

 private:
  friend class PoolBackend;
  class Lease;
  using Entry = std::shared_ptr<PoolEntry>;
  using Request = std::shared_ptr<PoolRequest>;
  using Calls = std::vector<std::function<void()>>;  // for outside the lock
  using Lock = std::unique_lock<std::mutex>;

  ModelPool(std::shared_ptr<ModelProvider> provider, PoolSettings settings);

  // pool_manager.cpp: the thread that decides. All under the lock.
  void run();
  void reap(Lock& lock);
  void expire(double now, Calls& calls);
  void leave_idle(double now);
  void seat_waiting(double now, Calls& calls);
  bool seat(const Entry& entry, double now, Calls& calls);
  void seat_if_it_fits();
  void serve_held_back();
  void tell_waiting(double now, Calls& calls);
  double next_wake(double now) const;
  static MemoryNeed need_of(const PoolEntry& entry);
  std::vector<Seat> seats() const;
  uint64_t room(uint64_t front_bytes) const;
  Error no_room(const PoolEntry& entry, uint64_t available) const;
  void fail(PoolEntry& entry, const Error& error, Calls& calls);

  // pool_jobs.cpp: threads of their own, without the lock.
  void begin(const Entry& entry, void (ModelPool::*job)(const Entry&));
  void fetch_job(const Entry& entry);
  void load_job(const Entry& entry);
  void leave_job(const Entry& entry);
  void serve_job(const Entry& entry);
  void forget_job(const Entry& entry);
  Result<uint64_t> budget(const Entry& entry, uint64_t front_bytes);
  static bool ask_for_more(PoolEntry& entry, const Error& error);
  void loaded(const Entry& entry, std::shared_ptr<Backend> backend);
  void serve_waiting(const Entry& entry);

  // pool_requests.cpp
  Result<Ticket> submit(
      const Entry& entry, const chat::Request& request, ChatSink sink);
  Result<Ticket> forward(
      const Entry& entry,
      const Request& request,
      const chat::Request& asked,
      bool waited);
  ChatSink sink_of(const Entry& entry, const Request& request);
  void cancel(const Entry& entry, Ticket ticket);
  void close(PoolEntry& entry, const PoolRequest& request);
  void wake();

  Entry entry_of(std::string_view model) const;
  Entry adopt(ModelNames names);
  void keep(const Entry& entry);  // in the list, that it may have left
  ModelStatus status_of(const Entry& entry) const;  // without the lock
  // Null when it is not in memory.
  std::shared_ptr<Lease> lease(const Entry& entry) const;
  // Loads it, and waits for that: not for long, and only a few at once.
  Result<std::shared_ptr<Lease>> lease_soon(const Entry& entry);
  Status load(const Entry& entry, const LoadWish& wish, LoadDone done);

  const std::shared_ptr<ModelProvider> provider_;
  const PoolSettings settings_;
  mutable std::mutex mutex_;  // of all below and of what entries hold
  mutable std::condition_variable changed_;
  mutable bool news_ = false;
  bool stop_ = false;
  int blocked_ = 0;  // threads in lease_soon()
  std::vector<Entry> entries_;
  Ticket last_ticket_ = 0;
  std::thread manager_;
};

}  // namespace rapid
