// GET /metrics: counters since the start, as Prometheus reads them.
#include <fmt/format.h>

#include <string>
#include <string_view>

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

  std::string out_;
};

void add_engine(MetricText& text, const EngineStats& stats) {
  text.gauge("requests_running", "Requests at work", stats.running);
  text.gauge("requests_waiting", "Requests in the queue", stats.waiting);
  text.counter(
      "prompt_tokens_total", "Tokens of all prompts", stats.prompt_tokens);
  text.counter(
      "cached_tokens_total",
      "Prompt tokens that the cache held",
      stats.cached_tokens);
  text.counter(
      "generated_tokens_total", "Sampled tokens", stats.generated_tokens);
  text.gauge("kv_bytes", "Bytes of the cache in memory", stats.kv_bytes);
  text.gauge("kept_prompts", "Conversations in the cache", stats.kept_prompts);
  text.counter(
      "evicted_prompts_total",
      "Conversations that the cache forgot for others",
      stats.evicted_prompts);
  text.gauge(
      "disk_cache_bytes", "Bytes of the cache on disk", stats.disk_bytes);
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

void metrics(
    const HttpRequest&,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  MetricText text;
  const auto backend = context.backend();
  text.gauge(
      "uptime_seconds",
      "Since the server began",
      now_seconds() - context.started_seconds);
  text.gauge("ready", "1 once the model is loaded", backend ? 1 : 0);
  if (backend) {
    add_engine(text, backend->stats());
    add_front(text, backend->front_stats());
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
