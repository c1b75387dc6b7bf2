// GET /api/tags and /api/ps: which models there are.
#include <algorithm>
#include <ctime>

#include "api/ollama_common.h"
#include "api/openapi.h"

namespace rapid {

namespace {

Json model_json(const ModelCard& card) {
  return {
      {"name", card.id()},
      {"model", card.id()},
      {"modified_at", ollama_time(card.created)},
      {"size", card.weight_bytes},
      {"digest", ollama_digest(card)},
      {"details", ollama_details(card)}};
}

// One that stays for ever leaves in another century.
std::string expiry(const ModelStatus& model) {
  constexpr int64_t kForever = 11'000'000'000;
  const double left = model.ttl_seconds - model.idle_seconds;
  return ollama_time(
      model.ttl_seconds == 0
          ? kForever
          : std::time(nullptr) + static_cast<int64_t>(std::max(left, 0.0)));
}

void list(
    const std::shared_ptr<ResponseStream>& stream,
    const ApiContext& context,
    bool running) {
  Json models = Json::array();
  // At the very start there is none yet.
  const auto known = context.models();
  for (const ModelStatus& model :
       known ? list_with_adapters(*known) : std::vector<ModelStatus>()) {
    if (running && model.state != ModelState::loaded) {
      continue;
    }
    Json one = model_json(model.card);
    if (running) {
      one["expires_at"] = expiry(model);
      one["size_vram"] = model.card.device == "cpu" ? 0 : model.memory_bytes;
      one["context_length"] = model.card.context_length;
    }
    models.push_back(std::move(one));
  }
  stream->reply(
      200, dump_json({{"models", std::move(models)}}), "application/json");
}

}  // namespace

void register_route_ollama_tags(RouteTable& table) {
  struct Listing {
    const char* path;
    bool running;
    const char* summary;
  };
  for (const Listing& one :
       {Listing{"/api/tags", false, "the models, in the Ollama form"},
        Listing{"/api/ps", true, "those in memory"}}) {
    table.add(
        {.method = "GET",
         .path = one.path,
         .handler =
             [running = one.running](
                 const HttpRequest&,
                 const std::shared_ptr<ResponseStream>& stream,
                 ApiContext& context) { list(stream, context, running); },
         .error_body = ollama_error_body,
         .reply =
             [] {
               return json_shape(
                   R"({"models": [{"name": "string", "model": "string",
           "modified_at": "string", "size": "integer", "digest": "string",
           "details": {"format": "string", "family": "string",
           "families": ["string"], "parameter_size": "string",
           "quantization_level": "string"}, "expires_at?": "string",
           "size_vram?": "integer", "context_length?": "integer"}]})");
             },
         .summary = one.summary});
  }
}

}  // namespace rapid
