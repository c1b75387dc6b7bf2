// DELETE /v1/cache?model=: forgets prompts, in memory and on disk, and turns.
#include "api/asked_models.h"
#include "api/openapi.h"
#include "api/route.h"
#include "base/json.h"

namespace rapid {

namespace {

Status cache_clear(
    const HttpRequest& http, ResponseStream& stream, ApiContext& context) {
  RAPID_TRY(const auto backends, asked_backends(http, context));
  for (const auto& backend : backends) {
    backend->clear_cache();
  }
  const Json reply = {{"object", "cache"}, {"cleared", true}};
  stream.reply(200, dump_json(reply), "application/json");
  return {};
}

}  // namespace

void register_route_cache_clear(RouteTable& table) {
  table.add(
      {.method = "DELETE",
       .path = "/v1/cache",
       .handler = answering(cache_clear),
       .reply =
           [] {
             return json_shape(R"({"object": "=cache", "cleared": "boolean"})");
           },
       .query = {"model"},
       .summary = "forget all kept prompts and turns"});
}

}  // namespace rapid
