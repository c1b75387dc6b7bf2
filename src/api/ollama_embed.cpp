// POST /api/embed and, for older clients, /api/embeddings.
#include <fmt/format.h>

#include "api/embedding_run.h"
#include "api/lane.h"
#include "api/ollama_common.h"
#include "api/openapi.h"
#include "api/prompt_list.h"
#include "base/clock.h"

namespace rapid {

namespace {

Status embed(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    const ApiContext& context,
    bool old) {
  RAPID_TRY(const Json body, parse_body(http.body));
  const Fields fields(body);
  RAPID_TRY(std::string model, ollama_model(fields));
  RAPID_TRY(const auto backend, ollama_backend(context, model));
  model = model.empty() ? backend->card().id() : model;
  chat::Request request;
  const char* name = old ? "prompt" : "input";
  const Json* input = fields.find(name);
  if (!old && input != nullptr && input->is_array() && input->empty()) {
    request.prompts.clear();  // that API takes it
  } else {
    RAPID_CHECK(read_prompts(fields, name, kMostEmbeddings, request));
  }
  RAPID_TRY(const EmbeddingFields wanted, read_embedding_fields(fields));
  RAPID_TRY(const auto truncate, fields.boolean("truncate"));
  request.may_cut = truncate.value_or(true);
  request.lane = request_lane(http, body);
  request.id = http.id;
  const double start = now_seconds();
  run_embedding(
      std::move(request),
      wanted,
      backend,
      stream,
      [stream, model, old, start](Result<Embedded> done) {
        if (!done) {
          return reply_error(*stream, done.error(), ollama_error_body);
        }
        const double took = (now_seconds() - start) * 1e9;
        const Json reply =
            old ? Json{{"embedding", done->vectors.at(0)}}
                : Json{
                      {"model", model},
                      {"embeddings", done->vectors},
                      {"total_duration", static_cast<int64_t>(took)},
                      {"load_duration", 0},
                      {"prompt_eval_count", done->tokens}};
        stream->reply(200, dump_json(reply), "application/json");
      });
  return {};
}

Json embed_body() {
  return body_schema(
      {{"input", "string|array", "a text, or texts", true},
       {"model", "string", "any name of a loaded model"},
       {"truncate", "boolean", "else true: cut to the context"},
       {"dimensions", "integer", "fewer than the model has"}});
}

Json old_body() {
  return body_schema(
      {{"prompt", "string", "a text", true},
       {"model", "string", "any name of a loaded model"}});
}

Json embed_reply() {
  return json_shape(
      R"({"model": "string", "embeddings": [["number"]],
          "total_duration": "integer", "load_duration": "integer",
          "prompt_eval_count": "integer"})");
}

Json old_reply() {
  return json_shape(R"({"embedding": ["number"]})");
}

}  // namespace

void register_route_ollama_embed(RouteTable& table) {
  for (const bool old : {false, true}) {
    table.add(
        {.method = "POST",
         .path = old ? "/api/embeddings" : "/api/embed",
         .handler =
             [old](
                 const HttpRequest& http,
                 const std::shared_ptr<ResponseStream>& stream,
                 ApiContext& context) {
               if (auto done = embed(http, stream, context, old); !done) {
                 reply_error(*stream, done.error(), ollama_error_body);
               }
             },
         .error_body = ollama_error_body,
         .body = old ? old_body : embed_body,
         .reply = old ? old_reply : embed_reply,
         .summary = old ? "one vector, in the older Ollama form"
                        : "vectors of texts, in the Ollama form"});
  }
}

}  // namespace rapid
