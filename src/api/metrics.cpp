// GET /metrics: counters since the start, as Prometheus reads them.
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/asked_models.h"
#include "api/route.h"
#include "base/clock.h"

namespace rapid {

namespace {

class MetricText {
 public:
  template <typename T>
  void gauge(std::string_view name, std::string_view help, T value) {
    family(name, "gauge", help);
    out_ += fmt::format("rapid_mlx_{} {}\n", name, value);
  }
  template <typename T>
  void counter(std::string_view name, std::string_view help, T value) {
    family(name, "counter", help);
    out_ += fmt::format("rapid_mlx_{} {}\n", name, value);
  }
  // One line a model.
  template <typename Value>
  void each(
      std::string_view name,
      std::string_view type,
      std::string_view help,
      const std::vector<ModelStatus>& models,
      Value value) {
    family(name, type, help);
    for (size_t i = 0; i < models.size(); ++i) {
      out_ += fmt::format(
          "rapid_mlx_{}{{model=\"{}\"}} {}\n",
          name,
          label(models[i].card.id()),
          value(i));
    }
  }
  std::string take() { return std::move(out_); }

 private:
  void family(
      std::string_view name, std::string_view type, std::string_view help) {
    out_ += fmt::format(
        "# HELP rapid_mlx_{0} {1}\n# TYPE rapid_mlx_{0} {2}\n",
        name,
        help,
        type);
  }

  static std::string label(std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (c == '\\' || c == '"') {
        out += '\\';
      }
      out += c == '\n' ? ' ' : c;
    }
    return out;
  }

  std::string out_;
};

void add_engine(MetricText& text, const EngineStats& stats) {
  text.gauge("requests_running", "Requests at work", stats.running);
  text.gauge("requests_waiting", "Requests in the queue", stats.waiting);
  text.counter(
      "parked_total",
      "Times that a request gave way for want of memory",
      stats.parked);
  text.counter(
      "prompt_tokens_total", "Tokens of all prompts", stats.prompt_tokens);
  text.counter(
      "cached_tokens_total",
      "Prompt tokens that the cache held",
      stats.cached_tokens);
  text.counter(
      "generated_tokens_total", "Sampled tokens", stats.generated_tokens);
  text.counter(
      "drafted_tokens_total",
      "Guesses that were looked at",
      stats.drafted_tokens);
  text.counter(
      "accepted_tokens_total",
      "Guesses that became tokens",
      stats.accepted_tokens);
  text.gauge("kv_bytes", "Bytes of the cache in memory", stats.kv_bytes);
  text.gauge("kept_prompts", "Conversations in the cache", stats.kept_prompts);
  text.counter(
      "evicted_prompts_total",
      "Conversations that the cache forgot for others",
      stats.evicted_prompts);
  text.gauge(
      "disk_cache_bytes", "Bytes of the cache on disk", stats.disk_bytes);
  text.counter(
      "worker_restarts_total",
      "Times that the engine's process was replaced",
      stats.restarts);
  text.gauge(
      "last_progress_seconds",
      "Since a token or a prefill chunk ended",
      stats.last_progress_seconds);
}

void add_front(MetricText& text, const FrontStats& stats) {
  text.counter(
      "calls_redecoded_total",
      "Malformed calls that were decoded again",
      stats.redecoded);
  text.counter(
      "calls_not_redecoded_total",
      "Malformed calls whose grammar was refused",
      stats.not_redecoded);
  text.counter(
      "calls_strict_total",
      "Calls of strict tools under their grammar",
      stats.strict);
  text.counter(
      "loops_broken_total",
      "Repeated calls that were not let through",
      stats.loops_broken);
  text.counter(
      "thoughts_closed_total",
      "Reasoning that was closed at its budget",
      stats.thoughts_closed);
}

// The families above are sums over all models; these tell them apart.
void add_models(
    MetricText& text,
    const std::vector<ModelStatus>& models,
    const std::vector<EngineStats>& stats) {
  const auto of_models = [&](auto name, auto type, auto help, auto value) {
    text.each(
        name, type, help, models, [&](size_t i) { return value(models[i]); });
  };
  const auto of_engines = [&](auto name, auto type, auto help, auto value) {
    text.each(
        name, type, help, models, [&](size_t i) { return value(stats[i]); });
  };
  of_models(
      "model_loaded", "gauge", "1 while it is in memory", [](const auto& m) {
        return m.state == ModelState::loaded ? 1 : 0;
      });
  of_models(
      "model_loads_total", "counter", "Times it was loaded", [](const auto& m) {
        return m.loads;
      });
  of_models(
      "model_open_requests", "gauge", "Waiting or at work", [](const auto& m) {
        return m.open_requests;
      });
  of_models(
      "model_memory_bytes",
      "gauge",
      "Its part of the memory limit",
      [](const auto& m) { return m.memory_bytes; });
  of_engines(
      "model_prompt_tokens_total",
      "counter",
      "Tokens of its prompts",
      [](const auto& s) { return s.prompt_tokens; });
  of_engines(
      "model_cached_tokens_total",
      "counter",
      "Those that the cache held",
      [](const auto& s) { return s.cached_tokens; });
  of_engines(
      "model_generated_tokens_total",
      "counter",
      "Tokens it sampled",
      [](const auto& s) { return s.generated_tokens; });
  of_engines(
      "model_worker_restarts_total",
      "counter",
      "Times that its process was replaced",
      [](const auto& s) { return s.restarts; });
}

void metrics(
    const HttpRequest&,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  MetricText text;
  const auto backends = context.models();
  std::vector<ModelStatus> models;
  std::vector<EngineStats> stats;
  std::vector<FrontStats> fronts;
  for (ModelStatus& model :
       backends ? backends->list() : std::vector<ModelStatus>()) {
    if (const auto backend = backends->find(model.card.id())) {
      stats.push_back(backend->stats());
      fronts.push_back(backend->front_stats());
      models.push_back(std::move(model));
    }
  }
  text.gauge(
      "uptime_seconds",
      "Since the server began",
      now_seconds() - context.started_seconds);
  const bool ready = !models.empty() && models.front().known;
  text.gauge("ready", "1 once the first model is loaded", ready ? 1 : 0);
  if (ready) {
    add_engine(text, sum_of(stats));
    add_front(text, sum_of(fronts));
    add_models(text, models, stats);
  }
  stream->reply(200, text.take(), "text/plain; version=0.0.4; charset=utf-8");
}

}  // namespace

void register_route_metrics(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/metrics",
       .handler = metrics,
       .summary = "counters for Prometheus"});
}

}  // namespace rapid
