// GET /health
#include <string>

#include "api/route.h"
#include "base/clock.h"
#include "base/json.h"

namespace rapid {

namespace {

// Work waits and neither a token nor a prefill chunk ended for so long.
constexpr double kStuckSeconds = 60;

void health(
    const HttpRequest&,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  Json reply = {
      {"status", "loading"},
      {"version", context.version},
      {"uptime_seconds", now_seconds() - context.started_seconds}};
  const auto backend = context.backend();
  if (!backend) {
    stream->header("retry-after", "1");
    return stream->reply(503, dump_json(reply), "application/json");
  }
  const EngineStats stats = backend->stats();
  const bool stuck = stats.waiting + stats.running > 0 &&
                     stats.last_progress_seconds >= kStuckSeconds;
  reply["status"] = stuck ? "stuck" : "ok";
  reply["model"] = backend->card().id();
  reply["device"] = backend->card().device;
  reply["waiting"] = stats.waiting;
  reply["running"] = stats.running;
  reply["last_progress_seconds"] = stats.last_progress_seconds;
  reply["prompt_tokens"] = stats.prompt_tokens;
  reply["cached_tokens"] = stats.cached_tokens;
  reply["generated_tokens"] = stats.generated_tokens;
  reply["kv_bytes"] = stats.kv_bytes;
  stream->reply(stuck ? 503 : 200, dump_json(reply), "application/json");
}

}  // namespace

void register_route_health(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/health",
       .auth = Auth::open,
       .handler = health,
       .summary = "200 while the engine is fit for work"});
}

}  // namespace rapid
