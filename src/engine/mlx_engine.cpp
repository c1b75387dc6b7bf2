#include "engine/mlx_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/platform.h"
#include "engine/mlx_kept_states.h"
#include "engine/mlx_memory.h"
#include "engine/mlx_scheduler.h"

namespace rapid {
namespace {

// Without work for so long, freed memory goes back to the system.
constexpr auto kQuiet = std::chrono::seconds(2);
// Who restarts a server goes on with the latest conversation: up to so much of
// it (about 0.2 s) is read before the engine is ready. The others are read once
// nobody asks for so long, since each would keep a request waiting.
constexpr uint64_t kReadFirst = uint64_t{256} << 20;
constexpr auto kNobodyAsks = std::chrono::milliseconds(500);
// The worker of a server that was killed may hold the disk's prompts so long.
constexpr double kPredecessor = 4;

// RAPID_MLX_SELF_CHECK=1: the cache's invariants are checked behind every step.
bool wants_self_check() {
  const char* wish = std::getenv("RAPID_MLX_SELF_CHECK");
  return wish != nullptr && std::string_view(wish) == "1";
}

Error stopping() {
  return {ErrorCode::cancelled, "the engine is shutting down"};
}

class MlxEngine final : public Engine {
 public:
  explicit MlxEngine(EngineSetup setup) : setup_(std::move(setup)) {}

  ~MlxEngine() override {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  Status start() {
    std::promise<Status> ready;
    std::future<Status> result = ready.get_future();
    // The thread owns the promise: who waits may be gone before it is through.
    thread_ = std::thread(&MlxEngine::run, this, std::move(ready));
    return result.get();
  }

  const EngineInfo& info() const override { return info_; }

  RequestId submit(GenerateRequest request, EngineSink sink) override {
    std::lock_guard lock(mutex_);
    const RequestId id = ++last_id_;
    auto ticketed =
        std::make_shared<Ticketed>(id, std::move(request), std::move(sink));
    if (Status status = check(ticketed->request); !status) {
      control_.push_back([ticketed, error = status.error()] {
        ticketed->sink(EngineFailed{error});
      });
    } else {
      if (ticketed->request.grammar) {
        ticketed->grammar = grammars_->compile(*ticketed->request.grammar);
      }
      if (const auto& name = ticketed->request.adapter; !name.empty()) {
        ticketed->adapter = adapters_.at(name);
      }
      open_[id] = ticketed;
      inbox_.push_back(std::move(ticketed));
    }
    wake_.notify_all();
    return id;
  }

  void cancel(RequestId id, int choice) override {
    std::lock_guard lock(mutex_);
    const auto found = open_.find(id);
    if (found == open_.end()) {
      return;
    }
    auto& flags = found->second->cancelled_choices;
    if (choice < 0) {
      found->second->cancelled = true;
    } else if (static_cast<size_t>(choice) < flags.size()) {
      flags[choice] = true;
    }
  }

  void clear_cache() override {
    std::lock_guard lock(mutex_);
    control_.push_back([this] { kept_->clear(); });
    wake_.notify_all();
  }

  EngineStats stats() const override {
    std::lock_guard lock(mutex_);
    EngineStats out = stats_;
    out.waiting += static_cast<int>(inbox_.size());
    out.last_progress_seconds = now_seconds() - last_progress_;
    out.resident_bytes = current_rss_bytes();
    // The kernel's counters lag behind each other a little.
    out.peak_bytes = std::max<uint64_t>(peak_rss_bytes(), out.resident_bytes);
    return out;
  }

 private:
  Status check(const GenerateRequest& request) const;  // under the mutex
  void run(std::promise<Status> ready);
  Status load();
  Status load_adapters();
  Status load_draft();
  uint64_t adapter_bytes() const;
  Status plan_memory_use();
  void loop();
  std::unique_ptr<DiskTier> open_disk() const;
  void warm();
  void self_check() const;
  void ended(RequestId id);
  void publish();

  EngineSetup setup_;
  EngineInfo info_;
  std::thread thread_;

  mutable std::mutex mutex_;  // of what follows, up to the next blank line
  std::condition_variable wake_;
  bool stop_ = false;
  RequestId last_id_ = 0;
  std::deque<std::shared_ptr<Ticketed>> inbox_;
  std::map<RequestId, std::shared_ptr<Ticketed>> open_;
  std::deque<std::function<void()>> control_;
  std::unique_ptr<GrammarCompiler> grammars_;
  EngineStats stats_;
  double last_progress_ = now_seconds();
  uint64_t progress_ = 0;  // tokens consumed by then

  std::map<std::string, AdapterPtr> adapters_;  // as they were loaded

  // The engine thread's own.
  std::unique_ptr<Model> model_;
  std::unique_ptr<DraftModel> draft_;
  std::unique_ptr<KeptStates> kept_;
  std::unique_ptr<Scheduler> scheduler_;
  bool some_ended_ = false;  // since stats were published
  const bool self_check_ = wants_self_check();
};

Status MlxEngine::check(const GenerateRequest& request) const {
  const int length = static_cast<int>(request.prompt.size());
  if (request.prompt.empty()) {
    return Error{ErrorCode::invalid_argument, "the prompt has no tokens"};
  }
  if (request.choices < 1 || request.max_tokens < 0) {
    return Error{
        ErrorCode::invalid_argument,
        "choices must be at least 1 and max_tokens at least 0"};
  }
  if (const auto& resume = request.resume;
      resume && (request.choices != 1 || resume->answered < 0 ||
                 resume->answered >= length || resume->grammar_replay < 0 ||
                 resume->grammar_replay > resume->answered)) {
    return Error{
        ErrorCode::invalid_argument,
        "only one choice can go on, with its answer behind a prompt"};
  }
  for (const auto* ids : {&request.prompt, &request.grammar_after}) {
    for (const int32_t id : *ids) {
      if (id < 0 || id >= info_.vocabulary) {
        return Error{
            ErrorCode::invalid_argument,
            fmt::format(
                "token id {} is outside of the vocabulary of {}",
                id,
                info_.vocabulary)};
      }
    }
  }
  if (!request.adapter.empty() && !adapters_.contains(request.adapter)) {
    return no_adapter(info_, request.adapter);
  }
  if (length + (request.max_tokens > 0 ? 1 : 0) > info_.context_length) {
    return prompt_too_long(info_.memory, length, setup_.state_budget);
  }
  const int waiting = stats_.waiting + static_cast<int>(inbox_.size());
  if (waiting >= setup_.most_waiting && !request.resume) {
    return Error{
        ErrorCode::busy,
        fmt::format("{} requests wait already", waiting),
        "try again later, or start with a larger --max-queue"};
  }
  return {};
}

void MlxEngine::run(std::promise<Status> ready) {
  Status status;
  try {
    status = load();
  } catch (const std::exception& e) {
    status = Error{
        ErrorCode::internal, std::string("loading the model: ") + e.what()};
  }
  const bool loaded = static_cast<bool>(status);
  ready.set_value(std::move(status));
  if (loaded) {
    loop();
  }
  scheduler_.reset();
  kept_.reset();
  draft_.reset();
  {
    std::lock_guard lock(mutex_);
    adapters_.clear();
  }
  model_.reset();
}

Status MlxEngine::load_adapters() {
  for (const AdapterSource& source : setup_.adapters) {
    RAPID_TRY(AdapterPtr adapter, setup_.load_adapter(source, *model_));
    info_.adapters.push_back(source.name);
    adapters_.emplace(source.name, std::move(adapter));
  }
  return {};
}

Status MlxEngine::load_draft() {
  if (setup_.load_draft) {
    RAPID_TRY(auto model, setup_.load_draft());
    setup_.load_draft = {};
    draft_ = std::make_unique<DraftModel>(
        std::move(model),
        setup_.states,
        model_->info().vocabulary,
        setup_.most_choices);
  }
  return {};
}

uint64_t MlxEngine::adapter_bytes() const {
  uint64_t out = 0;
  for (const auto& [name, adapter] : adapters_) {
    out += adapter->bytes();
  }
  return out;
}

Status MlxEngine::load() {
  const double begin = now_seconds();
  mx::set_default_device(setup_.device);
  if (setup_.device == mx::Device::cpu) {
    // MLX keeps freed arrays by size; chunks differ in size, so that grows to
    // tens of megabytes, and the C library is as fast.
    mx::set_cache_limit(0);
  }
  RAPID_TRY(model_, setup_.load());
  setup_.load = {};  // and the files' metadata with it
  RAPID_CHECK(load_adapters());
  RAPID_CHECK(load_draft());
  const ModelInfo& model = model_->info();
  // One token warms everything up and shows what a state costs.
  Sequence probe;
  probe.states = model_->make_states(setup_.states);
  const int32_t token = 0;
  std::vector<SequenceInput> batch = {
      {std::span(&token, 1), &probe.states, SequenceInput::Logits::last}};
  std::vector<mx::array> outputs = {model_->forward(batch)};
  for (const auto& state : probe.states) {
    state->collect(outputs);
  }
  mx::eval(outputs);
  info_.architecture = model.architecture;
  info_.device = setup_.device_name;
  info_.threads = setup_.threads;
  info_.vocabulary = model.vocabulary;
  info_.model_context_length = model.context_length;
  info_.layers = model.layers;
  info_.parameters = model.parameters;
  info_.weight_bytes = model.weight_bytes;
  info_.load_seconds = now_seconds() - begin;
  outputs.clear();
  info_.memory =
      setup_.memory
          ? *setup_.memory
          : measure_memory(
                setup_, model, adapter_bytes(), draft_.get(), probe.states);
  probe.states.clear();
  RAPID_CHECK(plan_memory_use());
  kept_ = std::make_unique<KeptStates>(
      info_.memory.states,
      setup_.state_budget,
      setup_.cache_bytes,
      open_disk());
  std::map<std::string, uint64_t> fingerprints;
  for (const auto& [name, adapter] : adapters_) {
    fingerprints[name] = adapter->fingerprint;
  }
  kept_->know(StateKeys(fingerprints), model.forms);
  scheduler_ = std::make_unique<Scheduler>(
      *model_,
      *kept_,
      SchedulerOptions{
          .states = setup_.states,
          .context = info_.memory.model_context,
          .prefill_chunk = setup_.prefill_chunk,
          .most_choices = setup_.most_choices,
          .speculating = setup_.speculating,
          .draft = draft_.get()},
      [this](RequestId id) { ended(id); });
  grammars_ = std::make_unique<GrammarCompiler>(
      std::move(setup_.grammar_words), model.vocabulary);
  if (kept_->next_to_warm() <= kReadFirst) {
    warm();
  }
  return {};
}

Status MlxEngine::plan_memory_use() {
  const MemoryFacts& facts = info_.memory;
  setup_.prefill_chunk = facts.prefill_chunk;
  if (setup_.memory_limit > 0) {
    RAPID_CHECK(check_room(facts));
    setup_.state_budget = state_budget(facts);
    setup_.cache_bytes = setup_.state_budget / kCacheShare;
  }
  info_.context_length =
      setup_.state_budget == 0
          ? facts.model_context
          : longest_context(
                facts.states, setup_.state_budget, facts.model_context);
  return {};
}

// Null without a folder, or when it cannot be used.
std::unique_ptr<DiskTier> MlxEngine::open_disk() const {
  if (!setup_.disk) {
    return nullptr;
  }
  auto disk = DiskTier::open(*setup_.disk);
  const double limit = now_seconds() + kPredecessor;
  while (!disk && disk.error().code == ErrorCode::busy &&
         now_seconds() < limit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    disk = DiskTier::open(*setup_.disk);
  }
  if (!disk) {
    spdlog::warn(
        "prompts are not kept on disk: {}; {}",
        disk.error().what,
        disk.error().hint);
    return nullptr;
  }
  return *std::move(disk);
}

void MlxEngine::loop() {
  bool worked = true;  // loading leaves free memory, too
  publish();
  while (true) {
    std::deque<std::function<void()>> control;
    bool stop = false;
    {
      std::unique_lock lock(mutex_);
      const auto ready = [&] {
        return stop_ || !scheduler_->idle() || !inbox_.empty() ||
               !control_.empty();
      };
      if (kept_->next_to_warm() > 0 &&
          !wake_.wait_for(lock, kNobodyAsks, ready)) {
        lock.unlock();
        warm();
        publish();
        continue;
      }
      if (worked && !wake_.wait_for(lock, kQuiet, ready)) {
        lock.unlock();
        kept_->reap();
        mx::clear_cache();
        release_free_memory();
        worked = false;
        lock.lock();
      }
      wake_.wait(lock, ready);
      control.swap(control_);
      if (scheduler_->idle()) {
        last_progress_ = now_seconds();  // nothing was to be done
      }
      for (auto& ticketed : inbox_) {
        scheduler_->add(std::move(ticketed));
      }
      inbox_.clear();
      stop = stop_;
    }
    for (const auto& task : control) {
      task();
    }
    if (stop) {
      break;
    }
    if (!scheduler_->idle()) {
      scheduler_->step();
      worked = true;
    }
    self_check();
    publish();
  }
  scheduler_->fail_all(stopping());
}

void MlxEngine::warm() {
  try {
    kept_->warm(*model_, setup_.states);
  } catch (const std::exception& e) {
    spdlog::warn("a prompt is not brought back from disk: {}", e.what());
  }
}

// A cache that is broken gives wrong answers: no process is better.
void MlxEngine::self_check() const {
  if (!self_check_) {
    return;
  }
  if (const Status sound = kept_->check_integrity(); !sound) {
    spdlog::critical("the cache is broken: {}", sound.error().what);
    std::abort();
  }
}

void MlxEngine::ended(RequestId id) {
  some_ended_ = true;
  std::lock_guard lock(mutex_);
  open_.erase(id);
}

void MlxEngine::publish() {
  const SchedulerCounts counts = scheduler_->counts();
  const TrieStats kept = kept_->stats();
  // Its lock may be held for a while by who writes.
  const bool look = std::exchange(some_ended_, false);
  const uint64_t disk_bytes = look ? kept_->disk_bytes() : 0;
  std::lock_guard lock(mutex_);
  if (stats_.generated_tokens != counts.generated_tokens ||
      progress_ != counts.consumed_tokens) {
    last_progress_ = now_seconds();
  }
  progress_ = counts.consumed_tokens;
  stats_.waiting = counts.waiting;
  stats_.running = counts.running;
  stats_.parked = counts.parked;
  stats_.prompt_tokens = counts.prompt_tokens;
  stats_.cached_tokens = counts.cached_tokens;
  stats_.generated_tokens = counts.generated_tokens;
  stats_.drafted_tokens = counts.speculation.drafted;
  stats_.accepted_tokens = counts.speculation.accepted;
  stats_.kv_bytes = kept.bytes + counts.state_bytes;
  stats_.kept_prompts = kept.entries;
  stats_.evicted_prompts = kept.evictions;
  stats_.disk_bytes = look ? disk_bytes : stats_.disk_bytes;
}

}  // namespace

Result<std::unique_ptr<Engine>> start_engine(EngineSetup setup) {
  auto engine = std::make_unique<MlxEngine>(std::move(setup));
  RAPID_CHECK(engine->start());
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace rapid
