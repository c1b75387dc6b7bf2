#include "engine/mlx_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/platform.h"
#include "engine/mlx_job.h"
#include "engine/mlx_kept_states.h"

namespace rapid {
namespace {

// A prefill chunk should take less than a second, so that progress is told
// and a cancel is seen; the first one is a guess.
constexpr double kChunkSeconds = 0.7;
constexpr int kFirstChunk = 128;
constexpr int kSmallestChunk = 32;
// Without work for so long, freed memory goes back to the system.
constexpr auto kQuiet = std::chrono::seconds(2);

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
    thread_ = std::thread([this, &ready] { run(ready); });
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
      open_[id] = ticketed;
      if (ticketed->request.resume) {
        waiting_.push_front(std::move(ticketed));
      } else {
        waiting_.push_back(std::move(ticketed));
      }
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

  EngineStats stats() const override {
    std::lock_guard lock(mutex_);
    EngineStats out = stats_;
    out.waiting = static_cast<int>(waiting_.size());
    out.last_progress_seconds = now_seconds() - last_progress_;
    return out;
  }

 private:
  Status check(const GenerateRequest& request) const;
  void run(std::promise<Status>& ready);
  Status load();
  void loop();
  std::unique_ptr<DiskTier> open_disk() const;
  void next_job();
  void close_current();
  void step();
  void forward(std::vector<SequenceInput>& batch);
  int chunk() const;

  EngineSetup setup_;
  EngineInfo info_;
  std::thread thread_;

  mutable std::mutex mutex_;  // of what follows, up to the next blank line
  std::condition_variable wake_;
  bool stop_ = false;
  RequestId last_id_ = 0;
  std::deque<std::shared_ptr<Ticketed>> waiting_;
  std::map<RequestId, std::shared_ptr<Ticketed>> open_;
  std::deque<std::function<void()>> control_;
  std::unique_ptr<GrammarCompiler> grammars_;
  EngineStats stats_;
  double last_progress_ = now_seconds();

  // The engine thread's own.
  std::unique_ptr<Model> model_;
  std::unique_ptr<KeptStates> kept_;
  TaskThread masks_;  // outlives job_, which waits for its masks
  std::unique_ptr<Job> job_;
  std::shared_ptr<Ticketed> current_;
  double prefill_rate_ = 0;  // tokens per second, 0 = not known yet
  double step_started_ = 0;
  double decode_forward_ = 0;   // seconds of this job in forward and eval
  double decode_overhead_ = 0;  // seconds of its decode steps outside
  int decode_steps_ = 0;
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
  if (request.resume && (request.choices != 1 || request.resume->answered < 0 ||
                         request.resume->answered >= length)) {
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
  if (length + (request.max_tokens > 0 ? 1 : 0) > info_.context_length) {
    return Error{
        ErrorCode::context_length,
        fmt::format(
            "the prompt has {} tokens, the context holds {}",
            length,
            info_.context_length),
        "shorten the prompt, or start with a larger --ctx"};
  }
  return {};
}

void MlxEngine::run(std::promise<Status>& ready) {
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
  job_.reset();
  kept_.reset();
  model_.reset();
}

Status MlxEngine::load() {
  const double begin = now_seconds();
  mx::set_default_device(setup_.device);
  RAPID_TRY(model_, setup_.load());
  setup_.load = {};  // and the files' metadata with it
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
  info_.context_length = setup_.context > 0 && model.context_length > 0
                             ? std::min(setup_.context, model.context_length)
                             : std::max(setup_.context, model.context_length);
  info_.layers = model.layers;
  info_.parameters = model.parameters;
  info_.weight_bytes = model.weight_bytes;
  info_.load_seconds = now_seconds() - begin;
  kept_ = std::make_unique<KeptStates>(
      StateCost(probe.states),
      setup_.state_budget,
      setup_.cache_bytes,
      open_disk());
  grammars_ = std::make_unique<GrammarCompiler>(
      std::move(setup_.grammar_words), model.vocabulary);
  return {};
}

// Null without a folder, or when it cannot be used.
std::unique_ptr<DiskTier> MlxEngine::open_disk() const {
  if (!setup_.disk) {
    return nullptr;
  }
  auto disk = DiskTier::open(*setup_.disk);
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
  while (true) {
    std::deque<std::function<void()>> control;
    bool stop = false;
    {
      std::unique_lock lock(mutex_);
      const auto ready = [&] {
        return stop_ || job_ || !waiting_.empty() || !control_.empty();
      };
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
      stop = stop_;
    }
    for (const auto& task : control) {
      task();
    }
    if (stop) {
      break;
    }
    if (!job_) {
      next_job();
    }
    if (job_) {
      step();
      worked = true;
    }
  }
  if (job_) {
    job_->fail(stopping());
  }
  std::deque<std::shared_ptr<Ticketed>> left;
  {
    std::lock_guard lock(mutex_);
    left.swap(waiting_);
    open_.clear();
  }
  for (const auto& ticketed : left) {
    ticketed->sink(EngineFailed{stopping()});
  }
}

void MlxEngine::next_job() {
  {
    std::lock_guard lock(mutex_);
    if (waiting_.empty()) {
      return;
    }
    current_ = std::move(waiting_.front());
    waiting_.pop_front();
    stats_.running = 1;
    last_progress_ = now_seconds();
  }
  // One that nobody waits for any more must not touch the session.
  if (current_->all_cancelled()) {
    current_->end_cancelled();
    close_current();
    return;
  }
  Result<JobLimits> planned =
      kept_->limits(current_->request, info_.context_length);
  if (!planned) {
    current_->sink(EngineFailed{planned.error()});
    close_current();
    return;
  }
  job_ = std::make_unique<Job>(
      current_,
      kept_->take_up(*model_, setup_.states, current_->request, *planned),
      *planned,
      masks_);
  decode_forward_ = decode_overhead_ = 0;
  decode_steps_ = 0;
  std::lock_guard lock(mutex_);
  stats_.prompt_tokens += current_->request.prompt.size();
  stats_.cached_tokens += job_->cached();
}

void MlxEngine::close_current() {
  std::lock_guard lock(mutex_);
  open_.erase(current_->id);
  stats_.running = 0;
  const TrieStats kept = kept_->stats();
  stats_.kv_bytes = kept.bytes;
  stats_.kept_prompts = kept.entries;
  stats_.evicted_prompts = kept.evictions;
  stats_.disk_bytes = kept_->disk_bytes();
}

int MlxEngine::chunk() const {
  if (prefill_rate_ == 0) {
    return std::min(setup_.prefill_chunk, kFirstChunk);
  }
  const int fit = static_cast<int>(
      std::min(prefill_rate_ * kChunkSeconds, 1e6) / kSmallestChunk);
  return std::clamp(
      fit * kSmallestChunk,
      std::min(kSmallestChunk, setup_.prefill_chunk),
      setup_.prefill_chunk);
}

void MlxEngine::step() {
  step_started_ = now_seconds();
  bool failed = false;
  try {
    std::vector<SequenceInput> batch;
    job_->plan(chunk(), batch);
    kept_->make_room(job_->state_bytes(), job_->rows());
    if (!batch.empty()) {
      forward(batch);
    }
  } catch (const std::exception& e) {
    spdlog::error("request {} failed: {}", current_->id, e.what());
    job_->fail(
        {ErrorCode::internal, std::string("the step failed: ") + e.what()});
    failed = true;  // nobody knows how far the state came
  }
  if (!job_->done()) {
    return;
  }
  if (!failed) {
    kept_->remember(current_->request, job_->root());
  }
  if (decode_steps_ > 0) {
    spdlog::debug(
        "request {}: {} decode steps, {:.3f} ms each in the model, {:.1f} us "
        "around it",
        current_->id,
        decode_steps_,
        1e3 * decode_forward_ / decode_steps_,
        1e6 * decode_overhead_ / decode_steps_);
  }
  job_.reset();
  close_current();
}

void MlxEngine::forward(std::vector<SequenceInput>& batch) {
  const bool prefill = job_->prefilling();
  const int rows = job_->rows();
  const int generated = job_->generated();
  const double begin = now_seconds();
  mx::array logits = model_->forward(batch);
  std::vector<mx::array> outputs = {logits};
  for (const SequenceInput& input : batch) {
    for (const auto& state : *input.states) {
      state->collect(outputs);
    }
  }
  mx::eval(outputs);
  if (rows > 0 && !logits.flags().row_contiguous) {
    logits = mx::contiguous(logits);
    logits.eval();
  }
  const double seconds = now_seconds() - begin;
  if (prefill && job_->step_tokens() >= kSmallestChunk) {
    prefill_rate_ = job_->step_tokens() / std::max(seconds, 1e-6);
  }
  const size_t floats = static_cast<size_t>(rows) * info_.vocabulary;
  job_->accept(
      floats > 0 ? std::span(logits.data<float>(), floats) : std::span<float>(),
      info_.vocabulary);
  if (prefill && !job_->prefilling() && !job_->done()) {
    kept_->remember(
        current_->request, job_->root());  // a place where conversations branch
  }
  if (!prefill) {
    ++decode_steps_;
    decode_forward_ += seconds;
    decode_overhead_ += now_seconds() - step_started_ - seconds;
  }
  std::lock_guard lock(mutex_);
  stats_.generated_tokens += job_->generated() - generated;
  stats_.kv_bytes = kept_->stats().bytes + job_->state_bytes();
  last_progress_ = now_seconds();
}

}  // namespace

Result<std::unique_ptr<Engine>> start_engine(EngineSetup setup) {
  auto engine = std::make_unique<MlxEngine>(std::move(setup));
  RAPID_CHECK(engine->start());
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace rapid
