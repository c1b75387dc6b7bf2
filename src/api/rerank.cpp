// POST /v1/rerank: documents by how near their vectors are to the query's, in
// the form that Jina and Cohere have. relevance_score is the cosine.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "api/embedding_run.h"
#include "api/lane.h"
#include "api/openai_common.h"
#include "api/openapi.h"

namespace rapid {

namespace {

struct RerankAsk {
  std::shared_ptr<Backend> backend;
  chat::Request request;  // the query, then the documents
  EmbeddingFields embedding;
  std::vector<std::string> documents;
  size_t most = 0;
  bool return_documents = false;
  std::string id;
};

Result<std::string> read_document(const Json& given, const std::string& path) {
  if (given.is_string()) {
    return given.get<std::string>();
  }
  if (given.is_object()) {
    RAPID_TRY(const auto text, Fields(given, path).string("text"));
    if (text) {
      return *text;
    }
  }
  return wrong_field(path, "a text, or an object with a text", given);
}

Result<RerankAsk> read_rerank(
    const HttpRequest& http, const ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  const Fields fields(body);
  RerankAsk ask;
  RAPID_TRY(ask.backend, openai_backend(context, fields));
  RAPID_TRY(const auto query, fields.string("query"));
  if (!query || query->empty()) {
    return missing_field("query", "a text");
  }
  ask.request.prompts.emplace_back(*query);
  RAPID_TRY(const Json* list, fields.array("documents"));
  if (list == nullptr || list->empty() || list->size() >= kMostEmbeddings) {
    return wrong_field(
        "documents",
        fmt::format("a list of 1 to {} texts", kMostEmbeddings - 1),
        list == nullptr ? Json() : *list);
  }
  for (size_t i = 0; i < list->size(); ++i) {
    RAPID_TRY(
        std::string text,
        read_document((*list)[i], fmt::format("documents[{}]", i)));
    ask.request.prompts.emplace_back(text);
    ask.documents.push_back(std::move(text));
  }
  RAPID_TRY(const auto most, fields.integer("top_n", 1, INT32_MAX));
  ask.most = std::min(
      ask.documents.size(), static_cast<size_t>(most.value_or(INT32_MAX)));
  RAPID_TRY(const auto wanted, fields.boolean("return_documents"));
  ask.return_documents = wanted.value_or(false);
  RAPID_TRY(ask.embedding, read_embedding_fields(fields));
  ask.request.lane = request_lane(http, body);
  ask.request.id = http.id;
  ask.id = http.id;
  return ask;
}

double cosine(const std::vector<float>& left, const std::vector<float>& right) {
  return std::inner_product(left.begin(), left.end(), right.begin(), 0.0);
}

Json reply_json(const RerankAsk& ask, const Embedded& embedded) {
  std::vector<std::pair<double, size_t>> order;
  for (size_t i = 0; i < ask.documents.size(); ++i) {
    order.emplace_back(
        -cosine(embedded.vectors[0], embedded.vectors[i + 1]), i);
  }
  std::ranges::sort(order);
  order.resize(ask.most);
  Json results = Json::array();
  for (const auto& [negative, index] : order) {
    Json one = {{"index", index}, {"relevance_score", -negative}};
    if (ask.return_documents) {
      one["document"] = {{"text", ask.documents[index]}};
    }
    results.push_back(std::move(one));
  }
  return {
      {"id", "rerank-" + ask.id},
      {"model", ask.backend->card().id()},
      {"results", std::move(results)},
      {"usage",
       {{"prompt_tokens", embedded.tokens},
        {"total_tokens", embedded.tokens}}}};
}

Json rerank_body() {
  return body_schema(
      {{"query", "string", "what is looked for", true},
       {"documents", "array", "texts, or objects with a text", true},
       {"model", "string", "default, or a loaded model's name"},
       {"top_n", "integer", "how many to tell of"},
       {"return_documents", "boolean", "the texts, too"},
       {"pooling", "string", "mean, last or cls"},
       {"dimensions", "integer", "fewer than the model has"}});
}

Status rerank(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    const ApiContext& context) {
  RAPID_TRY(RerankAsk read, read_rerank(http, context));
  const auto ask = std::make_shared<RerankAsk>(std::move(read));
  run_embedding(
      std::move(ask->request),
      ask->embedding,
      ask->backend,
      stream,
      [stream, ask](Result<Embedded> done) {
        if (!done) {
          return reply_error(*stream, done.error(), standard_error_body);
        }
        stream->reply(
            200, dump_json(reply_json(*ask, *done)), "application/json");
      });
  return {};
}

}  // namespace

void register_route_rerank(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/v1/rerank",
       .handler = answering(rerank),
       .body = rerank_body,
       .reply =
           [] {
             return json_shape(R"({"id": "string", "model": "string",
           "results": [{"index": "integer", "relevance_score": "number",
           "document?": {"text": "string"}}],
           "usage": {"prompt_tokens": "integer", "total_tokens": "integer"}})");
           },
       .summary = "documents in the order of their nearness to a query"});
}

}  // namespace rapid
