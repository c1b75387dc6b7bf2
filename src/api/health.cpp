// GET /health
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/asked_models.h"
#include "api/openapi.h"
#include "api/route.h"
#include "base/clock.h"
#include "base/json.h"

namespace rapid {

namespace {

// Work waits and neither a token nor a prefill chunk ended for so long.
constexpr double kStuckSeconds = 60;

bool is_stuck(const EngineStats& stats) {
  return stats.waiting + stats.running > 0 &&
         stats.last_progress_seconds >= kStuckSeconds;
}

// Loaded models and their engines.
struct Loaded {
  std::vector<ModelStatus> models;  // all of them
  std::vector<EngineStats> stats;   // likewise
  std::string trouble;              // of the first that has some
  bool fit = false;                 // one is fit for work
};

Loaded look_at(const Backends& backends) {
  Loaded out;
  out.models = backends.list();
  for (const ModelStatus& model : out.models) {
    const auto backend = backends.find(model.card.id());
    if (!backend) {
      continue;
    }
    EngineStats stats = backend->stats();  // 0 s while it waits for a load
    if (model.state == ModelState::loaded) {
      out.fit = out.fit || (!is_stuck(stats) && stats.trouble.empty());
      if (out.trouble.empty()) {
        out.trouble = stats.trouble;
      }
    }
    out.stats.push_back(std::move(stats));
  }
  return out;
}

// Ready once the first model was; what was unloaded can be loaded.
std::string_view status_of(const Loaded& all) {
  if (!all.models.front().known) {
    return "loading";
  }
  const bool in_memory =
      std::ranges::any_of(all.models, [](const ModelStatus& model) {
        return model.state == ModelState::loaded;
      });
  if (!in_memory) {
    return "ok";
  }
  if (all.fit) {
    return "ok";  // others go on whatever one has
  }
  return all.trouble.empty() ? "stuck" : "down";
}

void health(
    const HttpRequest&,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  Json reply = {
      {"status", "loading"},
      {"version", context.version},
      {"uptime_seconds", now_seconds() - context.started_seconds}};
  const auto backends = context.models();
  const Loaded all = backends ? look_at(*backends) : Loaded{};
  if (!backends || status_of(all) == "loading") {
    stream->header("retry-after", "1");
    return stream->reply(503, dump_json(reply), "application/json");
  }
  const EngineStats stats = sum_of(all.stats);
  reply["status"] = status_of(all);
  if (!all.trouble.empty()) {
    reply["reason"] = all.trouble;
  }
  reply["model"] = all.models.front().card.id();
  reply["device"] = all.models.front().card.device;
  reply["models"] = Json::object();
  for (const ModelStatus& model : all.models) {
    reply["models"][model.card.id()] = state_name(model.state);
  }
  reply["waiting"] = stats.waiting;
  reply["running"] = stats.running;
  reply["last_progress_seconds"] = stats.last_progress_seconds;
  reply["prompt_tokens"] = stats.prompt_tokens;
  reply["cached_tokens"] = stats.cached_tokens;
  reply["generated_tokens"] = stats.generated_tokens;
  reply["kv_bytes"] = stats.kv_bytes;
  reply["worker_restarts"] = stats.restarts;
  stream->reply(
      reply["status"] == "ok" ? 200 : 503,
      dump_json(reply),
      "application/json");
}

}  // namespace

void register_route_health(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/health",
       .auth = Auth::open,
       .handler = health,
       .reply =
           [] {
             return json_shape(R"({"status": "string", "version": "string",
           "uptime_seconds": "number", "model?": "string",
           "models?": {"*": "string"}, "waiting?": "integer",
           "running?": "integer", "worker_restarts?": "integer"})");
           },
       .summary = "200 while the engine is fit for work"});
}

}  // namespace rapid
