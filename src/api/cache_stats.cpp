// GET /v1/cache/stats?model=
#include <vector>

#include "api/asked_models.h"
#include "api/openapi.h"
#include "api/route.h"
#include "base/json.h"

namespace rapid {

namespace {

Status cache_stats(
    const HttpRequest& http, ResponseStream& stream, ApiContext& context) {
  RAPID_TRY(const auto backends, asked_backends(http, context));
  std::vector<EngineStats> all;
  LedgerStats ledger{.disabled = true};
  for (const auto& backend : backends) {
    all.push_back(backend->stats());
    const LedgerStats one = backend->ledger_stats();
    ledger.turns += one.turns;
    ledger.bytes += one.bytes;
    ledger.disabled = ledger.disabled && one.disabled;
  }
  const EngineStats stats = sum_of(all);
  const double ratio = stats.prompt_tokens > 0
                           ? static_cast<double>(stats.cached_tokens) /
                                 static_cast<double>(stats.prompt_tokens)
                           : 0.0;
  const Json reply = {
      {"kept_prompts", stats.kept_prompts},
      {"bytes", stats.kv_bytes},
      {"evicted_prompts", stats.evicted_prompts},
      {"disk_bytes", stats.disk_bytes},
      {"prompt_tokens", stats.prompt_tokens},
      {"cached_tokens", stats.cached_tokens},
      {"hit_ratio", ratio},
      {"ledger",
       {{"turns", ledger.turns},
        {"token_bytes", ledger.bytes},
        {"recording", !ledger.disabled}}}};
  stream.reply(200, dump_json(reply), "application/json");
  return {};
}

}  // namespace

void register_route_cache_stats(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/v1/cache/stats",
       .handler = answering(cache_stats),
       .reply =
           [] {
             return json_shape(
                 R"({"kept_prompts": "integer", "bytes": "integer",
           "evicted_prompts": "integer", "disk_bytes": "integer",
           "prompt_tokens": "integer", "cached_tokens": "integer",
           "hit_ratio": "number", "ledger": {"turns": "integer",
           "token_bytes": "integer", "recording": "boolean"}})");
           },
       .query = {"model"},
       .summary = "what the prompt cache and the turn ledger hold"});
}

}  // namespace rapid
