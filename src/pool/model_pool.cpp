#include "pool/model_pool.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <stdexcept>
#include <utility>

#include "base/clock.h"
#include "pool/pool_entry.h"

namespace rapid {
namespace {

std::shared_ptr<PoolEntry> make_entry(ModelNames names) {
  auto entry = std::make_shared<PoolEntry>();
  entry->card.name = names.name;
  entry->card.alias = names.alias;
  entry->card.path = names.path;
  entry->names = std::move(names);
  entry->last_used = entry->wanted_since = now_seconds();
  return entry;
}

ModelState state_of(const PoolEntry& entry) {
  // Until its memory is free it is there.
  if (entry.phase == Seat::Phase::in || entry.phase == Seat::Phase::leaving) {
    return ModelState::loaded;
  }
  if (entry.phase == Seat::Phase::arriving || entry.wanted()) {
    return ModelState::loading;
  }
  return entry.failure ? ModelState::failed : ModelState::evicted;
}

Error stays_as_it_is() {
  return {
      ErrorCode::unsupported,
      "this server runs its model in its own process, where it stays and no "
      "other can be loaded",
      "start it without --in-process",
      "model"};
}

}  // namespace

ModelPool::ModelPool(
    std::shared_ptr<ModelProvider> provider, PoolSettings settings)
    : provider_(std::move(provider)), settings_(settings) {}

std::shared_ptr<ModelPool> ModelPool::start(
    std::shared_ptr<ModelProvider> provider,
    const std::vector<ServedModel>& models,
    PoolSettings settings) {
  if (models.empty() || settings.memory_limit == 0) {
    throw std::invalid_argument("a pool needs a model and a limit");
  }
  std::shared_ptr<ModelPool> pool(new ModelPool(std::move(provider), settings));
  for (const ServedModel& model : models) {
    const auto entry = make_entry({.name = model.name, .alias = model.alias});
    entry->card.adapters = model.adapters;
    entry->pinned = model.pinned;
    entry->ttl = settings.idle_ttl;
    entry->must = pool->entries_.empty() || model.pinned;
    entry->if_fits = !entry->must;
    // What is on disk already is known: room is kept for it.
    if (const auto here = pool->provider_->locate(model.name)) {
      entry->weights = pool->provider_->weight_bytes(*here);
    }
    pool->entries_.push_back(entry);
  }
  pool->manager_ = std::thread([raw = pool.get()] { raw->run(); });
  return pool;
}

ModelPool::~ModelPool() {
  stop();
}

void ModelPool::stop() {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(stop_, true)) {
      return;
    }
    wake();
  }
  manager_.join();
  const Error error{ErrorCode::cancelled, "the server is shutting down"};
  for (const Entry& entry : entries_) {
    if (entry->working()) {
      entry->job.join();
    }
    Calls calls;
    std::shared_ptr<Backend> backend;
    {
      Lock lock(mutex_);
      entry->phase = Seat::Phase::out;
      changed_.wait(lock, [&] { return entry->leases == 0; });
      backend = std::move(entry->backend);
      for (const Request& request : std::exchange(entry->waiting, {})) {
        entry->open.erase(request->ticket);
        calls.push_back([request, error] {
          std::lock_guard own(request->mutex);
          if (!std::exchange(request->over, true)) {
            request->sink(chat::Failed{error});
          }
          request->sink = nullptr;
        });
      }
      for (auto* waiters : {&entry->load_waiters, &entry->unload_waiters}) {
        for (LoadDone& done : std::exchange(*waiters, {})) {
          calls.push_back([done = std::move(done), error] { done(error); });
        }
      }
    }
    for (const auto& call : calls) {
      call();
    }
    // Its open requests fail, and close themselves.
    backend.reset();
  }
}

bool ModelPool::loading() const {
  std::lock_guard lock(mutex_);
  return std::ranges::any_of(entries_, [](const Entry& entry) {
    return entry->phase == Seat::Phase::arriving ||
           (!entry->fetched && entry->working() && !entry->job_done);
  });
}

ModelPool::Entry ModelPool::entry_of(std::string_view model) const {
  std::lock_guard lock(mutex_);
  if (model.empty() || model == "default") {
    return entries_.front();
  }
  for (const Entry& entry : entries_) {
    if (entry->names.answers_to(model)) {
      return entry;
    }
  }
  return nullptr;
}

std::shared_ptr<ModelPool::Lease> ModelPool::lease(const Entry& entry) const {
  std::lock_guard lock(mutex_);
  return entry->phase == Seat::Phase::in ? std::make_shared<Lease>(*this, entry)
                                         : nullptr;
}

Result<std::shared_ptr<ModelPool::Lease>> ModelPool::lease_soon(
    const Entry& entry) {
  constexpr int kMostBlocked = 2;  // of a server's few threads
  if (auto held = lease(entry)) {
    return held;
  }
  const Error busy{
      ErrorCode::busy,
      entry->id() + " is not in memory yet",
      "try again in a moment"};
  {
    std::lock_guard lock(mutex_);
    if (blocked_ >= kMostBlocked) {
      return busy;
    }
    ++blocked_;
  }
  const auto promise = std::make_shared<std::promise<Status>>();
  auto loaded = promise->get_future();
  const Status begun = load(entry, {}, [promise](const auto& status) {
    promise->set_value(status ? Status() : Status(status.error()));
  });
  const std::chrono::duration<double> limit(settings_.block_seconds);
  const bool ended =
      begun && loaded.wait_for(limit) == std::future_status::ready;
  {
    std::lock_guard lock(mutex_);
    --blocked_;
  }
  RAPID_CHECK(begun);
  if (ended) {
    RAPID_CHECK(loaded.get());
  }
  auto held = ended ? lease(entry) : nullptr;
  return held ? Result(std::move(held)) : busy;
}

ModelStatus ModelPool::status_of(const Entry& entry) const {
  EngineStats stats;
  if (const auto held = lease(entry)) {
    stats = (*held)->stats();
  }
  const uint64_t front = provider_->front_bytes();
  std::lock_guard lock(mutex_);
  ModelStatus out{
      .card = entry->card,
      .known = entry->known,
      .state = state_of(*entry),
      .doing = entry->doing,
      .reason = stats.trouble,
      .pinned = entry->pinned,
      .open_requests = static_cast<int>(entry->open.size()),
      .idle_seconds = 0,
      .ttl_seconds = entry->ttl,
      .memory_bytes = entry->share,
      .resident_bytes =
          stats.resident_bytes - std::min(front, stats.resident_bytes),
      .loads = entry->loads};
  if (entry->open.empty()) {
    out.idle_seconds = now_seconds() - entry->last_used;
  }
  if (entry->failure && out.state == ModelState::failed) {
    out.reason = entry->failure->what;
  }
  return out;
}

std::vector<ModelStatus> ModelPool::list() const {
  std::vector<Entry> entries;
  {
    std::lock_guard lock(mutex_);
    entries = entries_;
  }
  std::vector<ModelStatus> out;
  for (const Entry& entry : entries) {
    out.push_back(status_of(entry));
  }
  return out;
}

std::vector<std::string> ModelPool::names() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const Entry& entry : entries_) {
    out.push_back(entry->id());
  }
  return out;
}

std::shared_ptr<Backend> ModelPool::find(std::string_view model) const {
  const Entry entry = entry_of(model);
  if (entry == nullptr) {
    return nullptr;
  }
  auto self = std::const_pointer_cast<ModelPool>(shared_from_this());
  return std::make_shared<PoolBackend>(std::move(self), entry);
}

std::optional<ModelStatus> ModelPool::status(std::string_view model) const {
  const Entry entry = entry_of(model);
  return entry ? std::optional(status_of(entry)) : std::nullopt;
}

// One that was not served before.
ModelPool::Entry ModelPool::adopt(ModelNames names) {
  const uint64_t weights = provider_->weight_bytes(names);
  std::lock_guard lock(mutex_);
  for (const Entry& entry : entries_) {
    if (entry->names.path == names.path) {
      return entry;  // under another name
    }
  }
  const Entry entry = make_entry(std::move(names));
  entry->extra = true;
  entry->ttl = settings_.idle_ttl;
  entry->weights = weights;
  if (!stop_) {
    entries_.push_back(entry);
  }
  return entry;
}

// Handles outlive what is in the list; who uses one brings it back. Under the
// lock.
void ModelPool::keep(const Entry& entry) {
  if (std::ranges::find(entries_, entry) == entries_.end()) {
    entries_.push_back(entry);
  }
}

Status ModelPool::load(const LoadWish& wish, LoadDone done) {
  Entry entry = entry_of(wish.model);
  if (settings_.fixed && (entry == nullptr || wish.ttl.value_or(0) > 0)) {
    return stays_as_it_is();
  }
  if (entry == nullptr) {
    RAPID_TRY(ModelNames names, provider_->locate(wish.model));
    entry = adopt(std::move(names));
  }
  return load(entry, wish, std::move(done));
}

Status ModelPool::load(
    const Entry& entry, const LoadWish& wish, LoadDone done) {
  {
    std::lock_guard lock(mutex_);
    if (stop_) {
      return Error{ErrorCode::cancelled, "the server is shutting down"};
    }
    keep(entry);
    entry->pinned = wish.pin.value_or(entry->pinned);
    entry->ttl = wish.ttl.value_or(entry->ttl);
    wake();
    if (entry->phase != Seat::Phase::in || entry->unload) {
      if (!entry->wanted()) {
        entry->wanted_since = now_seconds();
      }
      entry->load_waiters.push_back(std::move(done));
      return {};
    }
  }
  done(status_of(entry));
  return {};
}

Status ModelPool::unload(std::string_view model, LoadDone done) {
  const Entry entry = entry_of(model);
  if (entry == nullptr) {
    return not_served(model, *this);
  }
  if (settings_.fixed) {
    return stays_as_it_is();
  }
  {
    std::lock_guard lock(mutex_);
    if (stop_) {
      return Error{ErrorCode::cancelled, "the server is shutting down"};
    }
    entry->pinned = false;
    if (entry->phase != Seat::Phase::out) {
      entry->unload = true;
      entry->unload_waiters.push_back(std::move(done));
      wake();
      return {};
    }
    if (entry->extra && !entry->wanted() && !entry->working()) {
      std::erase(entries_, entry);
    }
  }
  done(status_of(entry));
  return {};
}

}  // namespace rapid
