// POST /v1/embeddings: any decoder's hidden rows, pooled, of length 1.
#include "api/embedding_run.h"
#include "api/lane.h"
#include "api/openai_common.h"
#include "api/openapi.h"
#include "api/prompt_list.h"
#include "base/base64.h"

namespace rapid {

namespace {

// Little-endian float32, as numpy reads it.
std::string bytes_of(const std::vector<float>& vector) {
  return {
      reinterpret_cast<const char*>(vector.data()),
      vector.size() * sizeof(float)};
}

Json reply_json(
    const Embedded& embedded, const std::string& model, bool base64) {
  Json data = Json::array();
  for (size_t i = 0; i < embedded.vectors.size(); ++i) {
    const std::vector<float>& vector = embedded.vectors[i];
    data.push_back(
        {{"object", "embedding"},
         {"index", i},
         {"embedding",
          base64 ? Json(base64_encode(bytes_of(vector))) : Json(vector)}});
  }
  return {
      {"object", "list"},
      {"data", std::move(data)},
      {"model", model},
      {"usage",
       {{"prompt_tokens", embedded.tokens},
        {"total_tokens", embedded.tokens}}}};
}

Json embeddings_body() {
  return body_schema(
      {{"input", "string|array", "text, texts, token ids or lists", true},
       {"model", "string", "default, or a loaded model's name"},
       {"encoding_format", "string", "float or base64"},
       {"pooling", "string", "mean, last or cls"},
       {"dimensions", "integer", "fewer than the model has"},
       {"user", "string", "who is served"}});
}

Status embeddings(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  const Fields fields(body);
  RAPID_TRY(const auto backend, openai_backend(context, fields));
  chat::Request request;
  RAPID_CHECK(read_prompts(fields, "input", kMostEmbeddings, request));
  RAPID_TRY(const EmbeddingFields wanted, read_embedding_fields(fields));
  RAPID_TRY(const auto format, fields.string("encoding_format"));
  if (format && *format != "float" && *format != "base64") {
    return wrong_field("encoding_format", "float or base64", Json(*format));
  }
  request.lane = request_lane(http, body);
  request.id = http.id;
  run_embedding(
      std::move(request),
      wanted,
      backend,
      stream,
      [stream, model = backend->card().id(), base64 = format == "base64"](
          Result<Embedded> done) {
        if (!done) {
          return reply_error(*stream, done.error(), standard_error_body);
        }
        stream->reply(
            200,
            dump_json(reply_json(*done, model, base64)),
            "application/json");
      });
  return {};
}

}  // namespace

void register_route_openai_embeddings(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/v1/embeddings",
       .handler = answering(embeddings),
       .body = embeddings_body,
       .reply =
           [] {
             return json_shape(
                 R"({"object": "=list", "data": [{"object": "=embedding",
           "index": "integer", "embedding": "array|string"}],
           "model": "string", "usage": {"prompt_tokens": "integer",
           "total_tokens": "integer"}})");
           },
       .summary = "vectors of texts: mean, last or cls pooling"});
}

}  // namespace rapid
