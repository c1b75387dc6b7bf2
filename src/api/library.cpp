// GET /v1/library: the models that can be had: those of the catalogue and
// those on this machine.
#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "api/openapi.h"
#include "api/route.h"
#include "base/json.h"
#include "hub/catalogue.h"
#include "hub/store.h"

namespace rapid {

namespace {

Json of_catalogue(const CatalogueEntry& entry) {
  return {
      {"name", entry.alias},
      {"description", entry.description},
      {"bytes", entry.bytes},
      {"here", false},
      {"removable", false}};
}

// What models may take here; 0 = no limit, or nothing was loaded yet.
uint64_t memory_limit(const ApiContext& context) {
  uint64_t limit = 0;
  if (const auto models = context.models()) {
    for (const ModelStatus& model : models->list()) {
      limit = std::max(limit, model.card.memory.limit);
    }
  }
  return limit;
}

Status library(
    const HttpRequest&, ResponseStream& stream, ApiContext& context) {
  const Store store = Store::open_default();
  RAPID_TRY(const auto stored, store.list());
  std::map<std::string, Json> models;
  for (const CatalogueEntry& entry : catalogue()) {
    models[entry.alias] = of_catalogue(entry);
  }
  for (const StoredModel& model : stored) {
    Json& one = models[model.name];
    one["name"] = model.name;
    one["bytes"] = model.bytes;
    one["here"] = true;
    one["removable"] = !model.foreign;
  }
  const auto served = context.models();
  Json data = Json::array();
  for (auto& [name, one] : models) {
    one["served"] = served && served->find(name) != nullptr;
    data.push_back(std::move(one));
  }
  const uint64_t limit = memory_limit(context);
  const Json reply = {
      {"object", "list"},
      {"memory_limit_bytes", limit > 0 ? Json(limit) : Json()},
      {"data", std::move(data)}};
  stream.reply(200, dump_json(reply), "application/json");
  return {};
}

}  // namespace

void register_route_library(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/v1/library",
       .handler = answering(library),
       .reply =
           [] {
             return json_shape(R"({"object": "=list",
           "memory_limit_bytes": "integer|null",
           "data": [{"name": "string", "description?": "string",
             "bytes": "integer", "here": "boolean", "removable": "boolean",
             "served": "boolean"}]})");
           },
       .summary = "models of the catalogue and of this machine"});
}

}  // namespace rapid
