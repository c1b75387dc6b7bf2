#include "bench/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <random>

#include "base/clock.h"

namespace rapid {

namespace {

// What one request did, written by the engine's thread.
struct Record {
  std::mutex mutex;
  std::condition_variable ended;
  double prefilled = 0;
  double first_token = 0;
  double last_token = 0;
  int tokens = 0;
  bool done = false;
  std::optional<Error> error;
};

void note_event(Record& record, const EngineEvent& event) {
  const double now = now_seconds();
  std::lock_guard lock(record.mutex);
  if (std::holds_alternative<EnginePrefilled>(event)) {
    record.prefilled = now;
  } else if (std::holds_alternative<EngineToken>(event)) {
    if (record.tokens++ == 0) {
      record.first_token = now;
    }
    record.last_token = now;
  } else if (const auto* failed = std::get_if<EngineFailed>(&event)) {
    record.error = failed->error;
    record.done = true;
    record.ended.notify_all();
  } else if (std::holds_alternative<EngineDone>(event)) {
    record.done = true;
    record.ended.notify_all();
  }
}

// Waits for the end; a cancel still waits for the engine to confirm it.
void wait_for_end(
    Engine& engine,
    RequestId id,
    Record& record,
    const std::function<bool()>& cancelled) {
  bool told = false;
  std::unique_lock lock(record.mutex);
  while (!record.done) {
    record.ended.wait_for(lock, std::chrono::milliseconds(100));
    if (!told && cancelled && cancelled()) {
      told = true;
      lock.unlock();  // the engine may answer from inside cancel()
      engine.cancel(id);
      lock.lock();
    }
  }
}

Result<BenchRun> run_once(
    Engine& engine,
    const std::vector<int32_t>& prompt,
    const BenchOptions& options) {
  GenerateRequest request;
  request.prompt = prompt;
  request.sampling.temperature = 0;
  request.choices = options.batch;
  request.max_tokens = options.generate;
  request.use_cache = false;

  const auto record = std::make_shared<Record>();
  const double start = now_seconds();
  const RequestId id = engine.submit(
      std::move(request),
      [record](const EngineEvent& event) { note_event(*record, event); });
  wait_for_end(engine, id, *record, options.cancelled);

  std::lock_guard lock(record->mutex);
  if (options.cancelled && options.cancelled()) {
    return Error{ErrorCode::cancelled, "the benchmark was stopped"};
  }
  if (record->error) {
    return *record->error;
  }
  const int expected = options.generate * options.batch;
  if (record->tokens != expected) {
    return Error{
        ErrorCode::internal,
        fmt::format("expected {} tokens, got {}", expected, record->tokens)};
  }
  BenchRun run;
  run.prefill_tps = double(prompt.size()) / (record->prefilled - start);
  run.ttft_seconds = record->first_token - start;
  if (options.generate > 1) {
    run.decode_tps = double(record->tokens - options.batch) /
                     (record->last_token - record->first_token);
  }
  return run;
}

Status check_fit(const EngineInfo& info, const BenchOptions& options) {
  if (options.prompt + options.generate <= info.context_length) {
    return {};
  }
  return Error{
      ErrorCode::context_length,
      fmt::format(
          "{} prompt tokens and {} generated ones are more than the context "
          "of {}",
          options.prompt,
          options.generate,
          info.context_length),
      "take a smaller -p or -n, or a larger --ctx"};
}

BenchRun median_of(const std::vector<BenchRun>& runs) {
  std::vector<double> prefill, decode, ttft;
  for (const auto& run : runs) {
    prefill.push_back(run.prefill_tps);
    ttft.push_back(run.ttft_seconds);
    if (run.decode_tps) {
      decode.push_back(*run.decode_tps);
    }
  }
  BenchRun out;
  out.prefill_tps = median(prefill);
  out.ttft_seconds = median(ttft);
  if (!decode.empty()) {
    out.decode_tps = median(decode);
  }
  return out;
}

}  // namespace

std::vector<int32_t> random_tokens(int count, int vocabulary, uint64_t seed) {
  // A distribution of the standard library may differ between platforms.
  std::mt19937_64 engine(seed);
  std::vector<int32_t> out;
  for (int i = 0; i < count; ++i) {
    out.push_back(int32_t(engine() % uint64_t(std::max(1, vocabulary))));
  }
  return out;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle]
                           : (values[middle - 1] + values[middle]) / 2;
}

Result<BenchReport> run_bench(Engine& engine, const BenchOptions& options) {
  RAPID_CHECK(check_fit(engine.info(), options));
  const auto prompt =
      random_tokens(options.prompt, engine.info().vocabulary, options.seed);
  BenchReport report;
  for (int i = 0; i <= options.runs; ++i) {
    if (options.before_run) {
      options.before_run(i);
    }
    RAPID_TRY(const auto run, run_once(engine, prompt, options));
    if (i > 0) {
      report.runs.push_back(run);
    }
  }
  report.median = median_of(report.runs);
  return report;
}

}  // namespace rapid
