// GET /v1/models and /v1/models/{any name the model answers to}
#include <fmt/format.h>

#include "api/openai_common.h"

namespace rapid {

namespace {

Json named(const std::string& name) {
  return name.empty() ? Json() : Json(name);
}

Json model_json(const ModelCard& card) {
  Json capabilities = Json::array({"completion"});
  if (card.chat_style != "none") {
    capabilities.push_back("chat");
    if (card.format != "plain") {
      capabilities.push_back("tools");
    }
    if (!card.reasoning.empty()) {
      capabilities.push_back("reasoning");
    }
  }
  return {
      {"id", card.id()},
      {"object", "model"},
      {"created", card.created},
      {"owned_by", "rapid-mlx"},
      {"context_window", card.context_length},
      {"max_model_len", card.context_length},
      {"architecture", card.architecture},
      {"vocab_size", card.vocabulary},
      {"tool_call_parser", named(card.format == "plain" ? "" : card.format)},
      {"tool_call_parser_reason", named(card.format_why)},
      {"reasoning_parser", named(card.reasoning)},
      {"chat_template", card.chat_style},
      {"capabilities", std::move(capabilities)},
      {"parameters", card.parameters},
      {"weight_bytes", card.weight_bytes},
      {"device", card.device}};
}

void models(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  const auto backend = ready_backend(context);
  if (!backend) {
    return reply_error(*stream, backend.error(), standard_error_body);
  }
  const ModelCard& card = (*backend)->card();
  if (http.tail.empty()) {
    const Json list = {
        {"object", "list"}, {"data", Json::array({model_json(card)})}};
    return stream->reply(200, dump_json(list), "application/json");
  }
  if (!card.answers_to(http.tail)) {
    return reply_error(
        *stream, unknown_model(http.tail, card), standard_error_body);
  }
  stream->reply(200, dump_json(model_json(card)), "application/json");
}

}  // namespace

void register_route_openai_models(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/v1/models",
       .handler = models,
       .summary = "the loaded model and its limits"});
  table.add(
      {.method = "GET",
       .path = "/v1/models/*",
       .handler = models,
       .summary = "one model by alias, name or path"});
}

}  // namespace rapid
