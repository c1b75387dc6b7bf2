// GET /v1/models and /v1/models/{any name the model answers to}
#include <utility>

#include "api/model_json.h"
#include "api/openapi.h"
#include "api/route.h"

namespace rapid {

namespace {

void models(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  const auto asked = status_for(context, http.tail);
  if (!asked) {
    return reply_error(*stream, asked.error(), standard_error_body);
  }
  if (!http.tail.empty()) {
    return stream->reply(
        200, dump_json(model_json(*asked)), "application/json");
  }
  Json data = Json::array();
  for (const ModelStatus& model : list_with_adapters(*context.models())) {
    data.push_back(model_json(model));
  }
  const Json list = {{"object", "list"}, {"data", std::move(data)}};
  stream->reply(200, dump_json(list), "application/json");
}

}  // namespace

void register_route_openai_models(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/v1/models",
       .handler = models,
       .reply =
           [] {
             return json_shape(
                 R"({"object": "=list", "data": [{"id": "string", "object": "=model",
           "created": "integer", "owned_by": "string", "state": "string",
           "pinned": "boolean", "ttl_seconds": "number",
           "open_requests": "integer", "idle_seconds": "number",
           "loads": "integer", "memory_bytes": "integer",
           "resident_bytes": "integer", "context_window?": "integer",
           "parent?": "string", "capabilities?": ["string"]}]})");
           },
       .summary = "the models served here, how they stand, and their limits"});
  table.add(
      {.method = "GET",
       .path = "/v1/models/*",
       .handler = models,
       .reply = model_shape,
       .summary = "one model by alias, name or path"});
}

}  // namespace rapid
