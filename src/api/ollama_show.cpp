// POST /api/show: the facts of one model.
#include <fmt/format.h>

#include "api/ollama_common.h"
#include "api/openapi.h"

namespace rapid {

namespace {

Status show(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    const ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  RAPID_TRY(const std::string model, ollama_model(Fields(body)));
  RAPID_TRY(const auto backend, ollama_backend(context, model));
  const ModelCard card = backend->card();
  const std::string& family = card.architecture;
  const Json facts = {
      {"general.architecture", family},
      {"general.basename", card.id()},
      {"general.parameter_count", card.parameters},
      // What fits here, which is what a client has to keep to.
      {family + ".context_length", card.context_length},
      {family + ".vocab_size", card.vocabulary}};
  const Json reply = {
      {"license", ""},
      {"modelfile", fmt::format("FROM {}\n", card.path)},
      {"parameters", fmt::format("num_ctx {}", card.context_length)},
      {"template", ""},
      {"details", ollama_details(card)},
      {"model_info", facts},
      {"capabilities", ollama_capabilities(card)},
      {"modified_at", ollama_time(card.created)}};
  stream->reply(200, dump_json(reply), "application/json");
  return {};
}

}  // namespace

void register_route_ollama_show(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/api/show",
       .handler = answering(show, ollama_error_body),
       .error_body = ollama_error_body,
       .body =
           [] {
             return body_schema({{"model", "string", "a model's name", true}});
           },
       .reply =
           [] {
             return json_shape(
                 R"({"details": {"format": "string", "family": "string",
           "families": ["string"], "parameter_size": "string",
           "quantization_level": "string"}, "model_info": "object",
           "capabilities": ["string"]})");
           },
       .summary = "one model's facts, in the Ollama form"});
}

}  // namespace rapid
