// POST /v1/models/unload {"model"}: frees a model's memory once its open
// requests are done, and its pin. The next request loads it again.
#include <memory>
#include <string>

#include "api/json_fields.h"
#include "api/model_json.h"
#include "api/openapi.h"
#include "api/route.h"

namespace rapid {

namespace {

Status models_unload(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  const Fields fields(body);
  RAPID_TRY(const auto model, fields.string("model"));
  if (!model || model->empty()) {
    return missing_field("model", "a model's name");
  }
  RAPID_TRY(const auto backend, backend_for(context, *model));
  return context.models()->unload(*model, [stream](const auto& unloaded) {
    if (!unloaded) {
      return reply_error(*stream, unloaded.error(), standard_error_body);
    }
    stream->reply(200, dump_json(model_json(*unloaded)), "application/json");
  });
}

}  // namespace

void register_route_models_unload(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/v1/models/unload",
       .handler = answering(models_unload),
       .body =
           [] {
             return body_schema({{"model", "string", "a model's name", true}});
           },
       .reply = model_shape,
       .summary = "free a model's memory until it is asked for again"});
}

}  // namespace rapid
