// Models for a pool without files and processes: they answer when the test
// says so, and check what a pool promises (memory, nobody destroyed in use).
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "pool/model_pool.h"

namespace rapid {

inline constexpr uint64_t kMega = uint64_t{1} << 20;

// True as soon as `condition` is; false after a long time.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) {
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

class FakeModels;

// Says "<model>:<first prompt>" when it is told to, or at once.
class FakeModel final : public Backend {
 public:
  FakeModel(std::shared_ptr<FakeModels> models, ModelCard card)
      : models_(std::move(models)), card_(std::move(card)) {}

  ModelCard card() const override { return card_; }
  Result<Ticket> submit(const chat::Request& request, ChatSink sink) override;
  void cancel(Ticket ticket) override {
    std::lock_guard lock(mutex_);
    open_.erase(ticket);
    ++cancelled;
  }
  Result<std::vector<std::vector<int32_t>>> tokenise(
      const chat::Request&) const override {
    return std::vector<std::vector<int32_t>>{{1, 2, 3}};
  }
  EngineStats stats() const override {
    EngineStats out;
    out.generated_tokens = answered;
    return out;
  }
  FrontStats front_stats() const override { return {.redecoded = 1}; }
  void clear_cache() override { ++cleared; }

  // Ends all that is open; how many were.
  size_t answer() {
    std::map<Ticket, Open> open;
    {
      std::lock_guard lock(mutex_);
      open.swap(open_);
    }
    for (auto& [ticket, each] : open) {
      finish(each);
    }
    return open.size();
  }
  size_t open() const {
    std::lock_guard lock(mutex_);
    return open_.size();
  }

  std::atomic<uint64_t> answered = 0;
  std::atomic<int> cancelled = 0;
  std::atomic<int> cleared = 0;

 private:
  struct Open {
    std::string text;
    ChatSink sink;
  };
  void finish(Open& open) {
    open.sink(chat::Started{});
    open.sink(chat::Delta{.text = card_.name + ":" + open.text});
    open.sink(chat::Finished{});
    ++answered;
    open.sink(chat::Done{});
  }

  std::shared_ptr<FakeModels> models_;
  ModelCard card_;
  mutable std::mutex mutex_;
  std::map<Ticket, Open> open_;
  Ticket last_ = 0;
};

// Names "a", "b", ... of so many MiB each.
class FakeModels : public ModelProvider,
                   public std::enable_shared_from_this<FakeModels> {
 public:
  explicit FakeModels(std::map<std::string, uint64_t> mega)
      : mega_(std::move(mega)) {}

  Result<ModelNames> locate(const std::string& model) override {
    if (!mega_.contains(model)) {
      return Error{ErrorCode::not_found, "no " + model + " here", "", "model"};
    }
    return ModelNames{.name = model, .path = "/models/" + model};
  }
  uint64_t weight_bytes(const ModelNames& names) override {
    return mega_.at(names.name) * kMega;
  }
  Result<ModelNames> fetch(const ModelNames& names, const Tell&) override {
    return locate(names.name);
  }
  Result<std::shared_ptr<Backend>> load(
      const ModelNames& names,
      const Budget& budget,
      const Tell& tell) override {
    tell("reading");
    hold(names.name);
    RAPID_TRY(const uint64_t bytes, budget(front_bytes()));
    ++loads[names.name];
    {
      std::lock_guard lock(mutex_);
      if (const auto found = failures.find(names.name);
          found != failures.end()) {
        return found->second;
      }
    }
    if (bytes < least_mega * kMega) {
      return Error{ErrorCode::too_large, names.name + " cannot work with that"};
    }
    take(bytes);
    auto model =
        std::make_shared<FakeModel>(shared_from_this(), card(names, bytes));
    {
      std::lock_guard lock(mutex_);
      running_[names.name] = model;
    }
    // The pool's own hold: the test may keep the model longer.
    Backend* raw = model.get();
    return std::shared_ptr<Backend>(
        raw, [this, bytes, model = std::move(model)](Backend*) {
          EXPECT_EQ(model->open(), 0u) << "unloaded under requests";
          give(bytes);
        });
  }
  void forget(const ModelNames& names) override {
    std::lock_guard lock(mutex_);
    forgotten.insert(names.name);
  }
  uint64_t front_bytes() override { return front_mega * kMega; }

  std::shared_ptr<FakeModel> running(const std::string& name) {
    std::lock_guard lock(mutex_);
    return running_[name].lock();
  }
  // Answers whatever is open, everywhere.
  size_t answer_all() {
    size_t count = 0;
    for (const auto& [name, mega] : mega_) {
      if (const auto model = running(name)) {
        count += model->answer();
      }
    }
    return count;
  }
  // Loads of `name` stay where they are until release().
  void block(const std::string& name) {
    std::lock_guard lock(mutex_);
    blocked_.insert(name);
  }
  void release(const std::string& name) {
    std::lock_guard lock(mutex_);
    blocked_.erase(name);
    changed_.notify_all();
  }
  void fail(const std::string& name, std::optional<Error> error) {
    std::lock_guard lock(mutex_);
    failures.erase(name);
    if (error) {
      failures.emplace(name, *error);
    }
  }
  bool has_forgotten(const std::string& name) {
    std::lock_guard lock(mutex_);
    return forgotten.contains(name);
  }

  void take(uint64_t bytes) {
    held += bytes;
    if (held + front_bytes() > limit) {
      ++overruns;
    }
  }
  void give(uint64_t bytes) { held -= bytes; }

  std::atomic<bool> at_once = false;  // answers do not wait for the test
  uint64_t limit = UINT64_MAX;
  uint64_t front_mega = 0;
  uint64_t least_mega = 0;  // what every engine needs in truth
  std::atomic<uint64_t> held = 0;
  std::atomic<int> overruns = 0;
  std::map<std::string, std::atomic<int>> loads{make_loads()};

 private:
  static std::map<std::string, std::atomic<int>> make_loads() {
    std::map<std::string, std::atomic<int>> out;
    for (const char* name : {"a", "b", "c", "d"}) {
      out[name] = 0;
    }
    return out;
  }
  static ModelCard card(const ModelNames& names, uint64_t bytes) {
    ModelCard out;
    out.name = names.name;
    out.path = names.path;
    out.context_length = static_cast<int>(bytes / kMega);
    return out;
  }
  void hold(const std::string& name) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !blocked_.contains(name); });
  }

  const std::map<std::string, uint64_t> mega_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> blocked_;
  std::set<std::string> forgotten;
  std::map<std::string, Error> failures;
  std::map<std::string, std::weak_ptr<FakeModel>> running_;
};

inline Result<Ticket> FakeModel::submit(
    const chat::Request& request, ChatSink sink) {
  Open open{request.id, std::move(sink)};
  if (request.id == "refused") {
    return Error{ErrorCode::invalid_argument, "not this one"};
  }
  std::unique_lock lock(mutex_);
  const Ticket ticket = ++last_;
  if (models_->at_once) {
    lock.unlock();
    finish(open);
  } else {
    open_.emplace(ticket, std::move(open));
  }
  return ticket;
}

// One request, and all that its sink heard.
class Asked {
 public:
  Asked(ModelPool& pool, const std::string& model, std::string text)
      : backend_(pool.find(model)) {
    chat::Request request;
    request.id = std::move(text);
    auto ticket =
        backend_->submit(request, [state = state_](const auto& event) {
          std::lock_guard lock(state->mutex);
          EXPECT_FALSE(state->ended) << "events after the end";
          EXPECT_FALSE(state->cancelled) << "events after cancel()";
          if (const auto* progress = std::get_if<chat::Progress>(&event)) {
            EXPECT_TRUE(state->text.empty());
            state->waited = progress->waiting_for;
          } else if (const auto* delta = std::get_if<chat::Delta>(&event)) {
            state->text += delta->text;
          } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
            state->error = failed->error;
            state->ended = true;
          } else if (std::holds_alternative<chat::Done>(event)) {
            state->ended = true;
          }
        });
    if (ticket) {
      ticket_ = *ticket;
    } else {
      std::lock_guard lock(state_->mutex);
      state_->error = ticket.error();
      state_->ended = true;
    }
  }

  void cancel() {
    backend_->cancel(ticket_);
    std::lock_guard lock(state_->mutex);
    state_->cancelled = true;
  }
  bool ended() const {
    std::lock_guard lock(state_->mutex);
    return state_->ended;
  }
  std::string text() const {
    std::lock_guard lock(state_->mutex);
    return state_->text;
  }
  std::string waited() const {
    std::lock_guard lock(state_->mutex);
    return state_->waited;
  }
  std::optional<Error> error() const {
    std::lock_guard lock(state_->mutex);
    return state_->error;
  }

 private:
  struct State {
    std::mutex mutex;
    std::string text;
    std::string waited;
    std::optional<Error> error;
    bool ended = false;
    bool cancelled = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::shared_ptr<Backend> backend_;
  Ticket ticket_ = 0;
};

// A pool over FakeModels.
struct PoolBench {
  explicit PoolBench(std::map<std::string, uint64_t> mega, uint64_t limit_mega)
      : models(std::make_shared<FakeModels>(std::move(mega))) {
    settings.memory_limit = models->limit = limit_mega * kMega;
    settings.drain_seconds = 0.05;
    settings.retry_seconds = 0;
  }
  ~PoolBench() {
    if (pool) {
      models->answer_all();
      pool->stop();
      EXPECT_EQ(models->held, 0u);
      EXPECT_EQ(models->overruns, 0) << "shares over the limit";
    }
  }

  void start(const std::vector<ServedModel>& served) {
    pool = ModelPool::start(models, served, settings);
  }
  ModelState state(const std::string& name) {
    return pool->status(name)->state;
  }
  bool becomes(const std::string& name, ModelState wanted) {
    return eventually([&] { return state(name) == wanted; });
  }

  std::shared_ptr<FakeModels> models;
  PoolSettings settings;
  std::shared_ptr<ModelPool> pool;
};

}  // namespace rapid
