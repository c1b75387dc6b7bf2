// GET /v1/cache/explain/{id}?model=: of a request of late, by its x-request-id
// or by its reply's id.
#include "api/asked_models.h"
#include "api/cache_report.h"
#include "api/openapi.h"
#include "api/route.h"

namespace rapid {

namespace {

Status cache_explain(
    const HttpRequest& http, ResponseStream& stream, ApiContext& context) {
  RAPID_TRY(const auto backends, asked_backends(http, context));
  std::optional<chat::CacheReport> report;
  for (size_t i = 0; i < backends.size() && !report; ++i) {
    report = backends[i]->explain(http.tail);
  }
  if (!report) {
    return Error{
        ErrorCode::not_found,
        "no request " + http.tail + " is remembered",
        "only the last few hundred of a loaded model are; its prompt must have "
        "been read",
        "id"};
  }
  Json reply = cache_report_json(*report);
  reply["id"] = report->id;
  stream.reply(200, dump_json(reply), "application/json");
  return {};
}

}  // namespace

void register_route_cache_explain(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/v1/cache/explain/*",
       .handler = answering(cache_explain),
       .reply =
           [] {
             return json_shape(
                 R"({"id": "string", "cache_miss_reason": "string",
           "first_difference": "object|null", "prompt_tokens": "integer",
           "cached_tokens": "integer", "common_tokens": "integer",
           "cost_tokens": "integer", "compared_to": "string|null"})");
           },
       .query = {"model"},
       .summary = "why the cache held no more of a request's prompt"});
}

}  // namespace rapid
