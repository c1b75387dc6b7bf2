// POST /v1/models/load {"model", "pin"?, "ttl"?, "wait"?}: takes a model that
// is served, or one on this machine, into memory. Answers when it is there,
// or why not; with "wait": false at once (202).
#include <memory>
#include <string>

#include "api/json_fields.h"
#include "api/model_json.h"
#include "api/openapi.h"
#include "api/route.h"

namespace rapid {

namespace {

constexpr double kLongestTtl = 1e9;

Status models_load(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  const Fields fields(body);
  LoadWish wish;
  RAPID_TRY(const auto model, fields.string("model"));
  if (!model || model->empty()) {
    return missing_field("model", "a model's name");
  }
  wish.model = *model;
  RAPID_TRY(wish.pin, fields.boolean("pin"));
  RAPID_TRY(wish.ttl, fields.number("ttl", 0, kLongestTtl));
  RAPID_TRY(const auto wait, fields.boolean("wait"));
  RAPID_TRY(const auto first, backend_for(context, ""));
  const auto models = context.models();
  const bool at_once = !wait.value_or(true);
  RAPID_CHECK(models->load(wish, [stream, at_once](const auto& loaded) {
    if (at_once) {
      return;
    }
    if (!loaded) {
      return reply_error(*stream, loaded.error(), standard_error_body);
    }
    stream->reply(200, dump_json(model_json(*loaded)), "application/json");
  }));
  if (at_once) {
    const auto now = models->status(wish.model);
    const Json reply =
        now ? model_json(*now) : Json{{"id", wish.model}, {"state", "loading"}};
    stream->reply(202, dump_json(reply), "application/json");
  }
  return {};
}

}  // namespace

void register_route_models_load(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/v1/models/load",
       .handler = answering(models_load),
       .body =
           [] {
             return body_schema(
                 {{"model", "string", "a served model, or one on disk", true},
                  {"pin", "boolean", "keep it in memory"},
                  {"ttl", "number", "seconds without requests; 0: for ever"},
                  {"wait", "boolean", "else true: answer when it is there"}});
           },
       .reply = model_shape,
       .summary = "load a model on this machine, pin it, set its idle time"});
}

}  // namespace rapid
